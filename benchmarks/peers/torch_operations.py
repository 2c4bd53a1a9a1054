"""Worker: single operations in eager PyTorch, forward and gradient, channels-last."""

from __future__ import annotations

from typing import Any

import torch
from peers.torch_child import operation
from worker import Run, serve

from nasnet_jax.space import OPERATIONS


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    accelerated = torch.cuda.is_available() and settings["platform"] != "cpu"
    device = torch.device("cuda" if accelerated else "cpu")
    if not accelerated:
        torch.set_num_threads(1)
    batch, height, width, features = settings["shape"]

    def draw() -> torch.Tensor:
        values = torch.randn(batch, features, height, width, device=device)
        return values.to(memory_format=torch.channels_last)

    modules = [operation(name, features, 1).to(device) for name in OPERATIONS]
    x, g = draw().requires_grad_(), draw()

    def run(message: dict[str, Any]) -> dict[str, Any]:
        module = modules[message["operation"]]
        for _ in range(settings["times"]):
            # Its input does not remember a gradient of before.
            x.grad = None
            module(x).backward(g)
        if accelerated:
            torch.cuda.synchronize()
        return {}

    for index in range(len(modules)):
        run({"operation": index})
    return run, {"torch": torch.__version__}


if __name__ == "__main__":
    serve(prepare)
