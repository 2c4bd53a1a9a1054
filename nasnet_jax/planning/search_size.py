"""The sizes of a search that follow from its configuration and its data set, without any data."""

from __future__ import annotations

import dataclasses

import ml_collections

from nasnet_jax.search.config import search_macro
from nasnet_jax.search.data import load_data
from nasnet_jax.space import Macro

_KNOWN = {
    "cifar10": ((32, 32, 3), 50_000, 10),
    "cifar100": ((32, 32, 3), 50_000, 100),
}
"""Image shape, training images and classes of data sets that need not be there for a plan."""


@dataclasses.dataclass(frozen=True)
class SearchSize:
    """A search in numbers.

    Attributes:
        macro: The skeleton of the children.
        num_train: Images on which children are trained.
        num_validation: Held-out images.
        steps: Updates in an epoch.
        evaluations: Batches of held-out images, the last one filled up.
    """

    macro: Macro
    num_train: int
    num_validation: int
    steps: int
    evaluations: int


def search_size(config: ml_collections.ConfigDict) -> SearchSize:
    """Works the sizes out; reads the data set only if it is none of the well-known ones.

    Raises:
        ValueError: If the configuration does not fit the data set.
        FileNotFoundError: If a data set has to be read and is not there.
    """
    name, size = config.dataset.name, config.dataset.image_size or None
    if name in _KNOWN:
        (height, width, channels), images, classes = _KNOWN[name]
        shape = (size or height, size or width, channels)
    else:
        dataset = load_data(config)
        shape, classes = dataset.image_shape, dataset.num_classes
        images = len(dataset.train_labels)
    validation, batch = config.dataset.num_validation, config.child.batch_size
    if images - validation < batch:
        raise ValueError(
            f"child.batch_size is {batch}, but {name!r} has {images} training images, of which "
            f"{validation} are held out."
        )
    num_train = config.dataset.num_train or images - validation
    return SearchSize(
        macro=search_macro(config, shape, classes),
        num_train=num_train,
        num_validation=validation,
        steps=num_train // batch,
        evaluations=-(-validation // batch),
    )
