"""One split of a data set, read example by example in any order."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, Protocol

import numpy as np

_ROWS = 4096
"""Images that are hashed at a time, should they have to be copied for it."""


class Source(Protocol):
    """Examples that are read by number, so that any order of them can be started at any place."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""

    @property
    def channels(self) -> int:
        """Channels of the decoded images, 1 or 3."""

    @property
    def encoded(self) -> bool:
        """Whether `read` returns the contents of files (JPEG, PNG, ...) rather than pixels."""

    def __len__(self) -> int:
        """The number of examples."""

    def read(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads the examples with these numbers, `[n]` integers from 0 to `len(self) - 1`.

        Returns:
            Images, either `[n]` objects of type `bytes` (if `encoded`) or
            `[n, height, width, channels]` uint8, and labels `[n]` int32.
        """

    def describe(self, number: int) -> str:
        """What to call an example in messages, which begin with it: its file, if it has one."""

    def identity(self) -> dict[str, Any]:
        """What tells these examples from others wherever they lie, as JSON has it.

        See `nasnet_jax.data.fingerprint`. It is made without decoding an image.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySource:
    """Images in memory.

    Attributes:
        name: What to call it in messages.
        images: `[number, height, width, channels]` uint8.
        labels: `[number]` int32.
        class_names: The name of each label.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    encoded: bool = dataclasses.field(default=False, init=False)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.images.shape[-1]

    def __len__(self) -> int:
        return len(self.images)

    def read(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns these images, `[n, height, width, channels]`, and their labels."""
        return self.images[numbers], self.labels[numbers]

    def describe(self, number: int) -> str:
        """Its number."""
        return f"Image {number} of {self.name}"

    def identity(self) -> dict[str, Any]:
        """The images' shape, and a hash of all pixels and labels."""
        content = hashlib.sha256(np.ascontiguousarray(self.labels).data)
        for start in range(0, len(self.images), _ROWS):
            content.update(np.ascontiguousarray(self.images[start : start + _ROWS]).data)
        return {"shape": list(self.images.shape[1:]), "content": content.hexdigest()}
