"""Worker: Cadene's NASNet-Mobile in eager PyTorch, channels-last."""

from __future__ import annotations

from typing import Any

import pretrainedmodels
import torch
from torch.nn import functional
from worker import Run, serve

SIZE = 224


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    accelerated = torch.cuda.is_available() and settings["platform"] != "cpu"
    device = torch.device("cuda" if accelerated else "cpu")
    model = pretrainedmodels.nasnetamobile(num_classes=1000, pretrained=None)
    model = model.to(device, memory_format=torch.channels_last)
    batches = {
        batch: torch.randn(batch, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
        for batch in settings["batches"]
    }
    inferring = settings["mode"] == "inference"
    calibrate(model, batches[max(batches)].to(device))
    model.train(not inferring)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, fused=True)

    @torch.inference_mode()
    def infer(images: torch.Tensor) -> None:
        model(images.to(device)).cpu()

    def step(images: torch.Tensor) -> None:
        labels = torch.zeros(len(images), dtype=torch.long, device=device)
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(images.to(device)), labels)
        loss.backward()
        optimizer.step()
        loss.item()

    call = infer if inferring else step
    for images in batches.values():
        call(images)

    def run(message: dict[str, Any]) -> dict[str, Any]:
        for _ in range(message["times"]):
            call(batches[message["batch"]])
        return {}

    return run, {"torch": torch.__version__, "threads": torch.get_num_threads()}


@torch.no_grad()
def calibrate(model: torch.nn.Module, images: torch.Tensor) -> None:
    """Gives normalizations the statistics of a batch, as training would.

    With those of a new network, signals fade from layer to layer until PyTorch computes with
    denormal numbers, several times slower than with the ones of a trained network. XLA and
    TensorFlow take such numbers for zero.
    """
    norms = [one for one in model.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None
    model.train()
    model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


if __name__ == "__main__":
    serve(prepare)
