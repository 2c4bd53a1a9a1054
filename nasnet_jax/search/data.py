"""The images of a search."""

from __future__ import annotations

import ml_collections

from nasnet_jax.data.builtin import FakeSpec
from nasnet_jax.data.dataset import Dataset, DifferentSizesError
from nasnet_jax.data.remaining import advising_to_skip
from nasnet_jax.data.sources import load_arrays


def load_data(config: ml_collections.ConfigDict) -> Dataset:
    """Loads the data set that a search's configuration names.

    Raises:
        ValueError: If there is no such data set, its images are not of one size, or one cannot be
            decoded.
        FileNotFoundError: If its files are missing and cannot be had.
    """
    options = config.dataset
    try:
        with advising_to_skip():
            return load_arrays(
                options.name,
                data_dir=options.data_dir,
                image_size=options.image_size or None,
                test_split=options.test_split,
                fake=FakeSpec(**options.fake),
                skip_damaged=options.skip_damaged,
            )
    except DifferentSizesError as error:
        raise ValueError(f"{error} Set dataset.image_size, to which all are brought.") from error
