"""The sizes of a search that follow from its configuration and its data set, without any data."""

from __future__ import annotations

import dataclasses

import ml_collections

from nasnet_jax.planning.data_size import data_size
from nasnet_jax.search.config import check_config, search_macro
from nasnet_jax.space import Macro


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
    """Works the sizes out, without the images.

    Raises:
        ValueError: If the configuration cannot work, or does not fit the data set.
        FileNotFoundError: If the data set has to be looked at and is not there.
    """
    check_config(config)
    data, batch = data_size(config.dataset), config.child.batch_size
    validation = config.dataset.num_validation
    remaining = data.num_train - validation
    num_train = config.dataset.num_train or remaining
    if num_train > remaining or num_train < batch:
        raise ValueError(
            f"child.batch_size is {batch} and dataset.num_train {config.dataset.num_train}, but "
            f"{config.dataset.name!r} has {data.num_train} training images, of which {validation} are "
            "held out."
        )
    return SearchSize(
        macro=search_macro(config, data.image_shape, data.num_classes),
        num_train=num_train,
        num_validation=validation,
        steps=num_train // batch,
        evaluations=-(-validation // batch),
    )
