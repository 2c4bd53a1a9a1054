"""Data sets of one's own as NumPy arrays in a file."""

from __future__ import annotations

import os
import pathlib
import zipfile
import zlib

import numpy as np
from absl import logging

from nasnet_jax.data.dataset import check_images, check_labels
from nasnet_jax.data.source import ArraySource
from nasnet_jax.paths import local_path

NEEDED = ("train_images", "train_labels", "test_images", "test_labels")
_NAMES = "class_names"
_CHANNELS = (1, 3)
_BYTE = "A byte holds 0 to 255"


def open_arrays(path: str | os.PathLike[str]) -> tuple[ArraySource, ArraySource]:
    """Opens a data set that `np.savez` wrote.

    Images are uint8 `[number, height, width, channels]` with 1 or 3 channels, or
    `[number, height, width]` if they are grey. Labels are integers from 0, `[number]` or
    `[number, 1]`, or one-hot, `[number, classes]`. `class_names`, if the file has them, are texts,
    one for each label. Without them the classes are called by their labels; these may then skip
    numbers, and the classes are those of which there are training images.

    Args:
        path: The file. It holds `train_images`, `train_labels`, `test_images` and `test_labels`.

    Returns:
        The training and the test images.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, lacks one of the arrays, one of them is of another form,
            or they do not fit together.
    """
    file = local_path(path)
    found = _read(file)
    name = f"arrays:{file}"
    where = {split: f"The {split} images of data set {name!r}" for split in ("train", "test")}
    images = {split: _images(found[f"{split}_images"], what) for split, what in where.items()}
    labels = {split: _labels(found[f"{split}_labels"], what) for split, what in where.items()}
    for split, what in where.items():
        check_images(what, images[split], labels[split])
    if images["train"].shape[-1] != images["test"].shape[-1]:
        raise ValueError(f"{where['train']} and those to test on differ in their channels.")
    if _NAMES in found:
        names = _texts(found[_NAMES], file)
    elif _is_one_hot(found["train_labels"]):
        names = tuple(map(str, range(found["train_labels"].shape[1])))
    else:
        names, labels = _called_by_label(labels, where)
    for split, what in where.items():
        check_labels(what, labels[split], names)
    train, test = (
        ArraySource(f"{name} ({split})", images[split], labels[split].astype(np.int32), names)
        for split in where
    )
    return train, test


def _read(file: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a file."""
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {str(file)!r}; np.savez writes one.")
    found = {}
    try:
        # Without pickle, because reading one runs what it says.
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as loaded:
            there = sorted(loaded)
            for name in (*NEEDED, _NAMES):
                if name in there:
                    found[name] = loaded[name]
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{str(file)!r} is no file of arrays from np.savez, or has Python objects in place of "
            f"numbers and texts: {error}"
        ) from error
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise ValueError(
            f"{str(file)!r} lacks {', '.join(missing)}; it needs {', '.join(NEEDED)}, and has "
            f"{', '.join(there) or 'nothing'}."
        )
    if unused := [name for name in there if name not in found]:
        logging.warning("arrays:%s: not used: %s.", file, ", ".join(unused))
    return found


def _images(images: np.ndarray, where: str) -> np.ndarray:
    """Returns images with their channels, `[number, height, width, channels]`."""
    if images.dtype.kind in "fiu" and images.dtype != np.uint8 and images.size:
        low, high = images.min(), images.max()
        if images.dtype.kind == "f" and 0 <= low and high <= 1:
            bytes_of_them = "(images * 255).round().astype('uint8')"
        elif 0 <= low and high <= 255:
            bytes_of_them = "images.astype('uint8')"
        else:
            bytes_of_them = "bring them to 0 to 255, then images.astype('uint8')"
        raise ValueError(
            f"{where} must be uint8, but are {images.dtype} from {low} to {high}. Make bytes of "
            f"them: {bytes_of_them}."
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim == 4 and images.shape[-1] not in _CHANNELS:
        if images.shape[1] in _CHANNELS:
            advice = "The channels seem to come first; put them last: images.transpose(0, 2, 3, 1)."
        elif images.shape[-1] - 1 in _CHANNELS:
            advice = "If the last channel is transparency, leave it out: images[..., :-1]."
        else:
            advice = "Choose or compute so many."
        raise ValueError(
            f"{where} are {list(images.shape)}, and should be [number, height, width, channels] with "
            f"1 channel or 3. {advice}"
        )
    return images


def _labels(labels: np.ndarray, where: str) -> np.ndarray:
    """Returns labels as integers, `[number]` where that is what they say."""
    if _is_one_hot(labels):
        return labels.argmax(axis=1)
    if labels.dtype.kind in "US":
        raise ValueError(
            f"{where} have texts as labels, which must be integers. Number them: class_names, labels "
            "= np.unique(labels, return_inverse=True)."
        )
    if labels.dtype.kind not in "biu":
        raise ValueError(f"{where} have labels that are {labels.dtype} and must be integers.")
    return labels.reshape(len(labels)) if labels.size == len(labels) else labels


def _is_one_hot(labels: np.ndarray) -> bool:
    return (
        labels.dtype.kind in "biuf"
        and labels.ndim == 2
        and labels.shape[1] > 1
        and bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())
    )


def _called_by_label(
    labels: dict[str, np.ndarray], where: dict[str, str]
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Calls classes by their labels, and numbers those that occur if others are skipped."""
    values = np.unique(labels["train"])
    names = tuple(map(str, values.tolist()))
    if values[0] < 0 or values[-1] == len(values) - 1:
        return names, labels
    unknown = np.setdiff1d(labels["test"], values)
    if len(unknown):
        raise ValueError(
            f"{where['test']} have the label {unknown[0]}, which no training image has. Leave them "
            "out, or add training images."
        )
    logging.warning(
        "%s have no labels but %s: these are the classes, called so, and the numbers between them "
        "are skipped.",
        where["train"],
        ", ".join(names),
    )
    return names, {split: np.searchsorted(values, part) for split, part in labels.items()}


def _texts(names: np.ndarray, file: pathlib.Path) -> tuple[str, ...]:
    """Returns the names of classes as texts; of bytes those that they spell."""
    try:
        texts = tuple(
            name.decode() if isinstance(name, bytes) else str(name)
            for name in names.ravel().tolist()
        )
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{_NAMES} in {str(file)!r} are bytes that are not in UTF-8: {error}. Save texts: "
            "np.array(names)."
        ) from error
    twice = sorted(name for name in {*texts} if texts.count(name) > 1)
    if twice:
        raise ValueError(
            f"{_NAMES} in {str(file)!r} has {twice[0]!r} more than once. Give every class its name."
        )
    return texts
