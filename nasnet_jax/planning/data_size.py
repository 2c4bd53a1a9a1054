"""How large a data set is, found out without reading more of it than that takes."""

from __future__ import annotations

import dataclasses

import ml_collections
import numpy as np

from nasnet_jax.data.builtin import FakeSpec
from nasnet_jax.data.image_file import image_size
from nasnet_jax.data.source import ArraySource, Source
from nasnet_jax.data.sources import open_sources

Shape = tuple[int, int, int]
"""Height, width and channels."""

_KNOWN: dict[str, tuple[int, int, Shape | None]] = {
    "cifar10": (50_000, 10, (32, 32, 3)),
    "cifar100": (50_000, 100, (32, 32, 3)),
    "imagenet2012": (1_281_167, 1000, None),
}
"""Training images, classes and the shape of data sets that need not be there for a plan."""


@dataclasses.dataclass(frozen=True)
class DataSize:
    """A data set in numbers.

    Attributes:
        num_train: Its training images.
        num_classes: Its classes.
        image_shape: Of all of them as they are brought to one size.
    """

    num_train: int
    num_classes: int
    image_shape: Shape


def data_size(options: ml_collections.ConfigDict) -> DataSize:
    """Looks at the data set that a configuration names.

    Args:
        options: The part `dataset` of a search's or a training's configuration.

    Raises:
        ValueError: If there is no such data set.
        FileNotFoundError: If it has to be looked at and is not there.
    """
    name, size = options.name, options.image_size
    if name in _KNOWN:
        images, classes, shape = _KNOWN[name]
        if size:
            shape = (size, size, 3)
        elif shape is None:
            raise ValueError(f"The images of {name!r} differ in size. Set dataset.image_size.")
        return DataSize(images, classes, shape)
    if name == "fake":
        # A training has no fields for it.
        spec = FakeSpec(**options.get("fake", {}))
        side = size or spec.image_size
        return DataSize(spec.num_train, spec.num_classes, (side, side, spec.channels))
    train, _ = open_sources(
        name,
        data_dir=options.data_dir,
        test_split=options.test_split,
        skip_damaged=options.skip_damaged,
    )
    shape = (size, size, train.channels) if size else _shape_of_first(train)
    return DataSize(len(train), len(train.class_names), shape)


def _shape_of_first(source: Source) -> Shape:
    images, _ = source.read(np.array([0]))
    if isinstance(source, ArraySource):
        height, width = images.shape[1:3]
    else:
        height, width = image_size(images[0], source.describe(0))
    return height, width, source.channels
