"""Data sets by name, whole or example by example, and the input pipelines of search and training.

- `load_arrays`, `open_sources` and `open_test_source` (`sources`): a data set in memory, or read by
  number;
- `hold_out` (`split`): the search's validation images;
- `augment`: whitening and augmentation on the device, for a search;
- `pipeline`, `imagenet`, `cifar`: tf.data batches for training. They load TensorFlow, which takes
  seconds, so they are imported by name and not from here.
"""

from nasnet_jax.data.augment import channel_statistics, random_crop_flip, standardize
from nasnet_jax.data.builtin import FakeSpec
from nasnet_jax.data.dataset import Dataset
from nasnet_jax.data.source import ArraySource, Source
from nasnet_jax.data.sources import load_arrays, open_sources, open_test_source
from nasnet_jax.data.split import hold_out

__all__ = [
    "ArraySource",
    "Dataset",
    "FakeSpec",
    "Source",
    "channel_statistics",
    "hold_out",
    "load_arrays",
    "open_sources",
    "open_test_source",
    "random_crop_flip",
    "standardize",
]
