"""Worker: trains children in eager PyTorch, channels-last, on one core or one accelerator."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from peers.torch_child import Child
from sizes import CLASSES, ChildSize, parsed, size_of
from torch.nn import functional
from worker import Run, serve

from nasnet_jax.space import Architecture, cost

LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
MAX_GRAD_NORM = 5.0
WARM_UP = 3
"""Steps that are not timed."""


class Trainer:
    """What our child trainer does, step for step: augmentation, momentum, clipping, decay, cosine.

    Args:
        size: Of the children.
        device: Of PyTorch.
        compiled: Whether to use `torch.compile`.

    Attributes:
        step_seconds: Of a step of the last child, without its first ones, which may compile.
    """

    def __init__(self, size: ChildSize, device: torch.device, *, compiled: bool) -> None:
        rng = np.random.default_rng(0)
        number = (size.steps + size.evaluations) * size.batch_size
        shape = (number, size.image_size, size.image_size, size.channels)
        images = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8)).to(device)
        self.mean = images.float().mean((0, 1, 2))
        self.deviation = images.float().std((0, 1, 2))
        labels = torch.from_numpy(rng.integers(0, CLASSES, number)).to(device)
        kept = size.steps * size.batch_size
        self.train_images, self.valid_images = images[:kept], images[kept:]
        self.train_labels, self.valid_labels = labels[:kept], labels[kept:]
        self.size, self.device, self.compiled = size, device, compiled
        self.step_seconds = math.nan

    def __call__(self, architecture: Architecture) -> float:
        """Trains a child, and returns its accuracy."""
        size = self.size
        child: Any = self.network(architecture)
        kernels = [p for p in child.parameters() if p.dim() > 1]
        others = [p for p in child.parameters() if p.dim() <= 1]
        groups = [{"params": kernels, "weight_decay": WEIGHT_DECAY}, {"params": others}]
        optimizer = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)
        if self.compiled:
            # Else it would take the children for too many variants of one module, and stop compiling.
            torch.compiler.reset()
            child = torch.compile(child)
        order = torch.randperm(len(self.train_labels), device=self.device)
        first, begun = min(WARM_UP, size.steps - 1), 0.0
        for step in range(size.steps):
            if step == first:
                begun = self.now()
            chosen = order[step * size.batch_size : (step + 1) * size.batch_size]
            images = self.augmented(self.train_images[chosen])
            rate = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / size.steps))
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(child(images), self.train_labels[chosen]).backward()
            torch.nn.utils.clip_grad_norm_(child.parameters(), MAX_GRAD_NORM)
            optimizer.step()
        self.step_seconds = (self.now() - begun) / (size.steps - first)
        return self.accuracy(child)

    def now(self) -> float:
        """The time when all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def network(self, architecture: Architecture) -> Child:
        """A new child, with as many parameters as ours."""
        child = Child(architecture, self.size.macro)
        found = sum(parameter.numel() for parameter in child.parameters())
        expected = cost(architecture, self.size.macro).params
        if found != expected:
            raise ValueError(f"PyTorch's child has {found} parameters, ours {expected}.")
        return child.to(self.device, memory_format=torch.channels_last)

    def whitened(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `[batch, height, width, channels]` to channels-last floats `[batch, channels, ...]`."""
        return ((images.float() - self.mean) / self.deviation).permute(0, 3, 1, 2)

    def augmented(self, images: torch.Tensor) -> torch.Tensor:
        """Whitened, each image shifted by a few pixels, half of them mirrored."""
        size = self.size
        batch, side, padding = len(images), size.image_size, size.crop_padding
        padded = functional.pad(
            (images.float() - self.mean) / self.deviation,
            (0, 0, padding, padding, padding, padding),
        )
        corners = torch.randint(0, 2 * padding + 1, (2, batch, 1), device=self.device)
        rows, columns = corners + torch.arange(side, device=self.device)
        if size.flip:
            mirrored = torch.rand(batch, 1, device=self.device) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        examples = torch.arange(batch, device=self.device)[:, None, None]
        return padded[examples, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    @torch.no_grad()
    def accuracy(self, child: Any) -> float:
        """On the held-out images, by the statistics of each batch as in training."""
        size, right = self.size, 0.0
        for start in range(0, len(self.valid_labels), size.batch_size):
            part = slice(start, start + size.batch_size)
            logits = child(self.whitened(self.valid_images[part]))
            right += float((logits.argmax(1) == self.valid_labels[part]).sum())
        return right / len(self.valid_labels)


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    accelerated = torch.cuda.is_available() and settings["platform"] != "cpu"
    if not accelerated:
        torch.set_num_threads(1)
    number = settings["worker"]
    # More processes than accelerators share them.
    card = number % max(torch.cuda.device_count(), 1)
    device = torch.device("cuda", card) if accelerated else torch.device("cpu")
    trainer = Trainer(size_of(settings), device, compiled=settings["compiled"])

    def run(message: dict[str, Any]) -> dict[str, Any]:
        rewards, seconds = [], []
        for one in parsed(message["architectures"]):
            rewards.append(trainer(one))
            seconds.append(trainer.step_seconds)
        return {"rewards": rewards, "step_seconds": seconds}

    return run, {"torch": torch.__version__, "device": str(device)}


if __name__ == "__main__":
    serve(prepare)
