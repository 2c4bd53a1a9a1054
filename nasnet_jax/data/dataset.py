"""A whole image classification data set in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class DifferentSizesError(ValueError):
    """Images that are to be in memory together are not of one size.

    What helps is known by the command: to bring them to one, or to read them when they are needed.
    """


def check_images(where: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Raises ValueError if images are not as `Dataset` has them, or do not have a label each.

    `where` is what to call them in messages, which begin with it.
    """
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            f"{where} must be uint8 [number, height, width, channels], not {images.dtype} "
            f"{list(images.shape)}."
        )
    if not len(images):
        raise ValueError(f"{where} are none at all.")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{where} are {len(images)}, but their labels have the shape {labels.shape}."
        )


def check_labels(where: str, labels: np.ndarray, class_names: Sequence[str]) -> None:
    """Raises ValueError if there are not at least two classes, and a class for each label."""
    if len(class_names) < 2:
        raise ValueError(
            f"{where} are of {len(class_names)} class, and there is nothing to classify with fewer "
            "than two."
        )
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise ValueError(
            f"{where} have labels from {labels.min()} to {labels.max()}, but there are "
            f"{len(class_names)} classes. A negative label is how TFDS marks images without one; "
            "name a split whose labels are known."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Images of one size and their labels, as NumPy arrays.

    The test images are for the final test of a chosen network alone; a search holds out its
    validation images from the training ones (`nasnet_jax.data.split.hold_out`).

    Attributes:
        name: Where the images came from, in the form that `load_arrays` accepts.
        train_images: `[num_train, height, width, channels]` uint8.
        train_labels: `[num_train]` int32, from 0 to the number of classes - 1.
        test_images: `[num_test, height, width, channels]` uint8.
        test_labels: `[num_test]` int32.
        class_names: The name of each label.
        fingerprint: Of the data set as it was before its images were decoded and brought to one
            size (`nasnet_jax.data.fingerprint`); empty if nobody has made it.
        left_out: What is wrong with each image that could not be decoded, a line that begins with
            its name.

    Raises:
        ValueError: If the arrays do not have these shapes and types, if images and labels do not
            belong together, or if there are fewer than two classes.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for split, images, labels in (
            ("train", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            where = f"The {split} images of data set {self.name!r}"
            check_images(where, images, labels)
            check_labels(where, labels, self.class_names)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DifferentSizesError(
                f"Data set {self.name!r} has training images of {self.train_images.shape[1:]} and "
                f"test images of {self.test_images.shape[1:]} [height, width, channels]."
            )

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels
