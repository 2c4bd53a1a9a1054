"""Data sets of one's own as NumPy arrays in a file."""

from __future__ import annotations

import os
import pathlib
import zipfile

import numpy as np

from nasnet_jax.data.dataset import Dataset
from nasnet_jax.paths import local_path

NEEDED = ("train_images", "train_labels", "test_images", "test_labels")


def load_npz(path: str | os.PathLike[str]) -> Dataset:
    """Loads a data set that `np.savez` wrote.

    Images are uint8 `[number, height, width, channels]`, or `[number, height, width]` if they are
    grey; labels are integers from 0. `class_names`, if the file has them, are texts, one for each
    label; by default the labels themselves.

    Args:
        path: The file. It holds `train_images`, `train_labels`, `test_images` and `test_labels`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, lacks one of the arrays, or they do not fit together.
    """
    file = local_path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {str(file)!r}; np.savez writes one.")
    try:
        # Without pickle, because reading one runs what it says.
        with np.load(file, allow_pickle=False) as loaded:
            found = {name: loaded[name] for name in (*NEEDED, "class_names") if name in loaded}
    except (ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{str(file)!r} is no file of arrays from np.savez: {error}") from error
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise ValueError(f"{str(file)!r} lacks {', '.join(missing)}; it needs {', '.join(NEEDED)}.")
    train_labels, test_labels = (
        _labels(file, found[name]) for name in ("train_labels", "test_labels")
    )
    if "class_names" in found:
        names = tuple(map(str, found["class_names"]))
    else:
        names = tuple(map(str, range(int(train_labels.max(initial=-1)) + 1)))
    return Dataset(
        name=f"arrays:{file}",
        train_images=_images(found["train_images"]),
        train_labels=train_labels,
        test_images=_images(found["test_images"]),
        test_labels=test_labels,
        class_names=names,
    )


def _images(images: np.ndarray) -> np.ndarray:
    return images[..., np.newaxis] if images.ndim == 3 else images


def _labels(file: pathlib.Path, labels: np.ndarray) -> np.ndarray:
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"The labels in {str(file)!r} are {labels.dtype} and must be integers.")
    return labels.astype(np.int32)
