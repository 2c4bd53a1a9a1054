"""Runs an exported network where neither this package nor JAX is: `runtimes.py FORMAT PATH IN OUT`.

IN and OUT are .npz files. Each array of images in IN gives the logits under its name; for PyTorch,
`cotangent` gives also the gradients of `sum(cotangent * tanh(logits / 100))` by the images of that call,
in training mode and in double precision.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

for name in ("jax", "flax", "nasnet_jax"):
    sys.modules[name] = None  # type: ignore[assignment]  # Importing it fails.


def onnx(path: str) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda images: session.run(None, {"images": images.transpose(0, 3, 1, 2)})[0]


def tflite(path: str) -> Callable[[np.ndarray], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(path).get_signature_runner()
    return lambda images: run(images=images)["logits"]


def load_pytorch(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("nasnet", f"{path}/nasnet.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(path)


def pytorch(path: str) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    network = load_pytorch(path)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()

    return run


def gradients(path: str, images: np.ndarray, cotangent: np.ndarray) -> dict[str, np.ndarray]:
    import torch

    network = load_pytorch(path).double().train()
    logits = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    (torch.tanh(logits / 100) * torch.from_numpy(cotangent)).sum().backward()
    return {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}


def main(kind: str, path: str, given: str, output: str) -> None:
    arrays = dict(np.load(given))
    cotangent = arrays.pop("cotangent", None)
    if cotangent is not None:
        np.savez(output, **gradients(path, arrays["images"], cotangent))
        return
    run = {"onnx": onnx, "tflite": tflite, "pytorch": pytorch}[kind](path)
    np.savez(output, **{name: run(images) for name, images in arrays.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
