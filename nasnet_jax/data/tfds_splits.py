"""Parts of TFDS's splits: which examples to train on and which to test on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from nasnet_jax.data.tensorflow_cpu import tf  # noqa: F401

# Loaded after TensorFlow's settings.
import tensorflow_datasets as tfds  # noqa: E402, I001 isort: skip


@dataclasses.dataclass(frozen=True)
class SplitPart:
    """Examples of a split.

    Attributes:
        split: The whole split.
        numbers: int64, of these examples within the split.
    """

    split: str
    numbers: np.ndarray

    def without(self, other: SplitPart) -> SplitPart:
        """What is left of it without the examples that the other one has, too."""
        if self.split != other.split:
            return self
        return SplitPart(self.split, np.setdiff1d(self.numbers, other.numbers))


def split_part(text: str, splits: Mapping[str, Any]) -> SplitPart:
    """Reads what TFDS calls a split: `test`, `train[80%:]`, `train[:100]+train[200:300]`.

    Args:
        text: What is asked for.
        splits: TFDS's information on the whole splits.

    Raises:
        ValueError: If there is no such split, or it is not a part of one; of one split each example
            at most once.
    """
    try:
        ranges = tfds.core.ReadInstruction.from_spec(text).to_absolute(splits)
    # Of several kinds; it is short, and says what is wrong with the text.
    except Exception as error:  # noqa: BLE001
        raise ValueError(
            f"{text!r} is no split of {sorted(splits)}, nor a part of one such as "
            f"'{min(splits)}[80%:]'."
        ) from error
    names = {part.splitname for part in ranges}
    numbers = np.concatenate(
        [np.arange(splits[part.splitname].num_examples)[part.from_ : part.to] for part in ranges]
    )
    if len(names) > 1 or not len(numbers) or len(np.unique(numbers)) < len(numbers):
        raise ValueError(
            f"{text!r} should be examples of one split, each of them once, and not none at all."
        )
    return SplitPart(names.pop(), numbers)
