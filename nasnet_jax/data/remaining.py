"""What remains of a source without images that cannot be decoded."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from absl import logging

from nasnet_jax.data.image_file import ImageError
from nasnet_jax.data.source import Source
from nasnet_jax.paths import local_path
from nasnet_jax.run_files import LEFT_OUT_FILE
from nasnet_jax.space.serialization import write_atomically


@dataclasses.dataclass(frozen=True, eq=False)
class Remaining:
    """A source without some of its examples.

    Attributes:
        source: All of them.
        numbers: int64, of those that remain.
        left_out: What is wrong with each of the others, a line that begins with its name.
    """

    source: Source
    numbers: np.ndarray
    left_out: tuple[str, ...]
    encoded: bool = dataclasses.field(default=True, init=False)

    @classmethod
    def of(cls, source: Source, errors: Mapping[int, ImageError]) -> Remaining:
        """Leaves out the examples with these numbers."""
        numbers = np.setdiff1d(np.arange(len(source)), list(errors))
        return cls(source, numbers, tuple(str(errors[number]) for number in sorted(errors)))

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.source.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return self.source.class_names

    @property
    def channels(self) -> int:
        """Channels of the decoded images."""
        return self.source.channels

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads examples, counted without those that are left out."""
        return self.source.read(self.numbers[numbers])

    def describe(self, number: int) -> str:
        """As the source describes it."""
        return self.source.describe(int(self.numbers[number]))

    def identity(self) -> dict[str, Any]:
        """That of all, as a run may go on that has met one which cannot be decoded."""
        return {"images": len(self.source), **self.source.identity()}


def check_remaining(source: Source, errors: Mapping[int, ImageError], labels: np.ndarray) -> None:
    """Logs how many examples cannot be decoded, and sees that there are others.

    Args:
        source: All examples.
        errors: What is wrong with some, by number.
        labels: int32, of all; of those that cannot even be read, -1.

    Raises:
        ValueError: If nothing of a class is left.
    """
    if not errors:
        return
    first = errors[min(errors)]
    kept = np.ones(len(source), bool)
    kept[list(errors)] = False
    gone = np.setdiff1d(labels[~kept], labels[kept])
    if -1 in gone:
        # One of those that are unknown.
        gone = np.setdiff1d(np.arange(len(source.class_names)), labels[kept])
    if gone.size:
        raise ValueError(
            f"{source.name}: no image of class {source.class_names[gone[0]]!r} can be decoded. The "
            f"first of {len(errors)} that cannot: {first}"
        )
    logging.warning(
        "%s: %d of %d images cannot be decoded and are left out. The first: %s",
        source.name,
        len(errors),
        len(source),
        first,
    )


@contextlib.contextmanager
def advising_to_skip() -> Iterator[None]:
    """Names the field of a configuration with which a run goes on without such images."""
    try:
        yield
    except ImageError as error:
        raise ImageError(
            f"{error} Or set dataset.skip_damaged=True, which leaves out what cannot be decoded."
        ) from error


def write_left_out(folder: str | os.PathLike[str], left_out: tuple[str, ...]) -> None:
    """Lists in a run's folder what was left out; without anything, there is no list."""
    path = local_path(folder) / LEFT_OUT_FILE
    if left_out:
        write_atomically(path, "\n".join(left_out) + "\n")
    else:
        path.unlink(missing_ok=True)
