"""What HDF5 files hold."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import BinaryIO

import h5py
import jax.numpy as jnp
import numpy as np

from nasnet_jax.inference.published.source import Tensors

ENDINGS = (".h5", ".hdf5")


def read(
    file: pathlib.Path,
    content: Callable[[h5py.File], Tensors],
    *,
    opened: BinaryIO | None = None,
) -> Tensors:
    """Reads a file.

    Args:
        file: Its path.
        content: What to read from it.
        opened: The file itself, where it is a part of the one at the path.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds something else.
    """
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {str(file)!r}.")
    try:
        with h5py.File(opened or file) as group:
            return content(group)
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{str(file)!r} cannot be read as Keras' HDF5: {error}. It may have been cut short: get "
            "it again."
        ) from error


def arrays(group: h5py.Group) -> Tensors:
    """All arrays in a group, by their paths; `:0`, which TensorFlow puts behind, left away."""
    tensors = {}

    def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            tensors[path.removesuffix(":0")] = array(item)

    group.visititems(visit)
    return tensors


def array(dataset: h5py.Dataset) -> np.ndarray:
    """Reads an array; HDF5 knows no bfloat16, and keeps it as two bytes without a meaning."""
    values = np.asarray(dataset)
    return values.view(jnp.bfloat16) if values.dtype == np.dtype("V2") else values
