"""Data sets by name: `digits`, `fake`, `folder:PATH`, `arrays:FILE`, or any of TFDS with classes."""

from __future__ import annotations

import dataclasses
import math
import os

import numpy as np

from nasnet_jax.data import builtin
from nasnet_jax.data.arrays import open_arrays
from nasnet_jax.data.dataset import Dataset, DifferentSizesError
from nasnet_jax.data.fingerprint import fingerprint
from nasnet_jax.data.image_file import ImageError
from nasnet_jax.data.remaining import Remaining, check_remaining
from nasnet_jax.data.source import ArraySource, Source
from nasnet_jax.memory import check_fits

SAVES_MEMORY = (
    "a smaller dataset.image_size, or, "
    "for a training, dataset.in_memory=False, which reads from disk"
)
"""What needs less memory than all images at once."""

_FOLDER, _ARRAYS = "folder:", "arrays:"


def open_sources(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    test_split: str | None = None,
    fake: builtin.FakeSpec | None = None,
    skip_damaged: bool = False,
) -> tuple[Source, Source]:
    """Opens a data set for reading example by example, of any size.

    Args:
        name: `digits` (scikit-learn's, 8x8 pixels), `fake` (made up), `folder:PATH` (own images,
            see `nasnet_jax.data.folder`), `arrays:FILE` (own arrays, see
            `nasnet_jax.data.arrays`), or the name of a TFDS data set (see
            `nasnet_jax.data.tfds_source`).
        data_dir: The folder of TFDS's prepared data sets; TFDS's own default if `None` or empty.
        test_split: The TFDS split to test on, or a part of one; see `open_tfds` for the default.
        fake: What `fake` makes up.
        skip_damaged: Whether links that lead nowhere are among the files of a folder, for one who
            leaves out what cannot be decoded (`nasnet_jax.data.damage`). By default they are an
            error.

    Returns:
        The training and the test images.

    Raises:
        ValueError: If there is no such data set or it is not for image classification.
        FileNotFoundError: If its files are missing and cannot be had.
    """
    if test_split and not _is_tfds(name):
        raise ValueError(
            f"{test_split!r} is a split of TFDS, but the data set {name!r} has its own images to "
            "test on. Leave the split out."
        )
    if name == "digits":
        return _array_sources(builtin.load_digits())
    if name == "fake":
        return _array_sources(builtin.make_fake(fake or builtin.FakeSpec()))
    if name.startswith(_ARRAYS):
        return open_arrays(_path(name, _ARRAYS))
    # The imports stand here because TensorFlow takes seconds that the others do not need.
    if name.startswith(_FOLDER):
        from nasnet_jax.data.folder import open_folder

        return open_folder(_path(name, _FOLDER), skip_damaged=skip_damaged)
    from nasnet_jax.data.tfds_source import open_tfds

    return open_tfds(name, data_dir=data_dir or None, test_split=test_split or None)


def open_test_source(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, split: str | None = None
) -> Source:
    """Opens the test images of a data set alone.

    Args:
        name: As for `open_sources`.
        data_dir: As for `open_sources`.
        split: The TFDS split, which may be that of training; by default as for `open_sources`.

    Raises:
        ValueError: As for `open_sources`.
        FileNotFoundError: As for `open_sources`.
    """
    if _is_tfds(name):
        from nasnet_jax.data.tfds_source import open_tfds_test

        return open_tfds_test(name, data_dir=data_dir or None, split=split or None)
    return open_sources(name, test_split=split)[1]


def load_arrays(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    test_split: str | None = None,
    fake: builtin.FakeSpec | None = None,
    skip_damaged: bool = False,
) -> Dataset:
    """Loads a whole data set into memory, as a search needs it.

    Args:
        name: As for `open_sources`.
        data_dir: As for `open_sources`.
        image_size: Height and width in pixels to which all images are brought, by resizing the
            shorter side and cropping the centre. `None` leaves them as they are; they must then be
            of one size.
        test_split: As for `open_sources`.
        fake: As for `open_sources`.
        skip_damaged: Whether images that cannot be decoded are left out, with a warning. By default
            they are an error.

    Returns:
        The training and the test images as NumPy arrays.

    Raises:
        DifferentSizesError: A ValueError; if `image_size` is None and the images differ.
        ImageError: A ValueError; if an image cannot be decoded.
        ValueError: As for `open_sources`, and if nothing is left of a class.
        FileNotFoundError: As for `open_sources`.
    """
    if name == "fake" and image_size:
        # Made up at that size rather than resized.
        fake = dataclasses.replace(fake or builtin.FakeSpec(), image_size=image_size)
    train, test = open_sources(
        name, data_dir=data_dir, test_split=test_split, fake=fake, skip_damaged=skip_damaged
    )
    train_images, train_labels, left_out = _load(train, image_size, skip_damaged)
    test_images, test_labels, also_left_out = _load(test, image_size, skip_damaged)
    return Dataset(
        name=name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=train.class_names,
        fingerprint=fingerprint(train, test),
        left_out=left_out + also_left_out,
    )


def _is_tfds(name: str) -> bool:
    return name not in ("digits", "fake") and not name.startswith((_FOLDER, _ARRAYS))


def _path(name: str, kind: str) -> str:
    path = name.removeprefix(kind)
    if not path:
        raise ValueError(f"The data set {name!r} names no path; it stands behind the colon.")
    return path


def _array_sources(dataset: Dataset) -> tuple[ArraySource, ArraySource]:
    names = dataset.class_names
    return (
        ArraySource(f"{dataset.name} (train)", dataset.train_images, dataset.train_labels, names),
        ArraySource(f"{dataset.name} (test)", dataset.test_images, dataset.test_labels, names),
    )


def _has_size(images: np.ndarray, image_size: int | None) -> bool:
    return image_size is None or images.shape[1:3] == (image_size, image_size)


def _load(
    source: Source, image_size: int | None, skip_damaged: bool
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Reads, decodes and resizes all examples of a source; returns also what was left out."""
    if isinstance(source, ArraySource) and _has_size(source.images, image_size):
        return source.images, source.labels, ()
    from nasnet_jax.data.loading import decoded_images

    images: np.ndarray | None = None
    labels = np.empty(len(source), dtype=np.int32)
    errors: dict[int, ImageError] = {}
    for number, (image, label) in enumerate(decoded_images(source, image_size)):
        labels[number] = label
        if isinstance(image, ImageError):
            if not skip_damaged:
                raise image
            errors[number] = image
            continue
        if images is None:
            shape = (len(source), *image.shape)
            check_fits(math.prod(shape), f"{source.name} as {shape} uint8", SAVES_MEMORY)
            images = np.empty(shape, dtype=np.uint8)
        if image.shape != images.shape[1:]:
            raise DifferentSizesError(
                f"The images of {source.name} differ in size: {source.describe(number)} is "
                f"{list(image.shape)} [height, width, channels], those before it are "
                f"{list(images.shape[1:])}."
            )
        images[number - len(errors)] = image
    check_remaining(source, errors, labels)
    if images is None:
        raise ValueError(f"{source.name} has no images.")
    remaining = Remaining.of(source, errors)
    return images[: len(remaining)], labels[remaining.numbers], remaining.left_out
