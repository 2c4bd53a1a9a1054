"""The sizes at which children are measured, and the architectures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasnet_jax.space import Architecture, Macro, sample_architecture

NUM_ARCHITECTURES = 8
CLASSES = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChildSize:
    """How large a child is and how long it is trained.

    Attributes:
        name: For people.
        num_cells, num_filters: N and F.
        image_size, channels: Of the images, in pixels.
        batch_size: Of a step.
        steps: Of training, in one epoch.
        evaluations: Batches of held-out images after it.
        crop_padding: Pixels.
        flip: Whether images are mirrored.
    """

    name: str
    num_cells: int
    num_filters: int
    image_size: int
    channels: int
    batch_size: int
    steps: int
    evaluations: int = 1
    crop_padding: int = 4
    flip: bool = True

    @property
    def macro(self) -> Macro:
        """The skeleton of the children."""
        return Macro(
            num_cells=self.num_cells,
            num_filters=self.num_filters,
            num_classes=CLASSES,
            image_size=self.image_size,
            image_channels=self.channels,
            uniform_inputs=True,
        )

    def config(self) -> Any:
        """The configuration of a search with such children, on images that are made up."""
        from nasnet_jax.search.config import default_config

        config = default_config()
        config.dataset.name = "fake"
        config.dataset.num_validation = self.evaluations * self.batch_size
        config.dataset.fake.num_train = (self.steps + self.evaluations) * self.batch_size
        config.dataset.fake.num_test = 1
        config.dataset.fake.num_classes = CLASSES
        config.dataset.fake.image_size = self.image_size
        config.dataset.fake.channels = self.channels
        config.child.num_cells = self.num_cells
        config.child.num_filters = self.num_filters
        config.child.batch_size = self.batch_size
        config.child.epochs = 1
        config.child.crop_padding = self.crop_padding
        config.child.flip = self.flip
        return config


SIZES = {
    size.name: size
    for size in (
        # As configs/quickstart.py trains children: 4 epochs of 17 steps, then 300 images.
        ChildSize(
            name="quickstart",
            num_cells=1,
            num_filters=8,
            image_size=8,
            channels=1,
            batch_size=64,
            steps=68,
            evaluations=5,
            crop_padding=1,
            flip=False,
        ),
        ChildSize(
            name="proxy",
            num_cells=2,
            num_filters=16,
            image_size=32,
            channels=3,
            batch_size=32,
            steps=10,
        ),
        # As configs/search_cifar10.py trains them; for accelerators.
        ChildSize(
            name="paper",
            num_cells=2,
            num_filters=32,
            image_size=32,
            channels=3,
            batch_size=128,
            steps=10,
        ),
    )
}
USUAL = ("quickstart", "proxy")
"""Those that are measured unless others are named."""


def size_of(settings: dict[str, Any]) -> ChildSize:
    """The size that a worker's settings name, with the fields that they change."""
    fields = {field.name for field in dataclasses.fields(ChildSize)} - {"name"}
    changed = {name: value for name, value in settings.items() if name in fields}
    return dataclasses.replace(SIZES[settings["size"]], **changed)


def architectures(number: int = NUM_ARCHITECTURES, *, seed: int = 0) -> list[Architecture]:
    """The same architectures in each run, drawn at random, in canonical form."""
    rng = np.random.default_rng(seed)
    return [sample_architecture(rng).canonical() for _ in range(number)]


def message(chosen: Sequence[Architecture]) -> dict[str, list[str]]:
    """What asks a worker to train these: their one-line forms, which `parsed` reads."""
    return {"architectures": [one.one_line() for one in chosen]}


def parsed(lines: list[str]) -> list[Architecture]:
    """Architectures from their one-line forms, as messages carry them."""
    return [Architecture.from_one_line(line) for line in lines]
