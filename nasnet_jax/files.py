"""Files and folders on this machine or at an address such as `gs://`, opened and written in one way."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping

from etils import epath

from nasnet_jax.paths import local_path
from nasnet_jax.space.serialization import write_atomically


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an address instead of a file or a folder on this machine."""
    return "://" in os.fspath(path)


def open_path(path: str | os.PathLike[str]) -> epath.Path:
    """The path, absolute where it is on this machine.

    Raises:
        ValueError: If it is remote and what reads it is not installed.
    """
    if not is_remote(path):
        return epath.Path(local_path(path)).absolute()
    if os.fspath(path).startswith("gs://") and importlib.util.find_spec("gcsfs") is None:
        raise ValueError(
            f"{os.fspath(path)!r} is on Google Cloud Storage, for which gcsfs is not installed: "
            "pip install gcsfs."
        )
    # Otherwise etils imports TensorFlow, wherever it is installed, to read the files.
    os.environ.setdefault("EPATH_USE_TF", "false")
    return epath.Path(path)


def write_files(files: Mapping[epath.Path, bytes]) -> None:
    """Writes files in their order, so that a reader sees each one whole, the old or the new one.

    Their folders are made. What belongs together is found whole by whoever reads the last one first.

    Raises:
        OSError: If one cannot be written.
    """
    for path, contents in files.items():
        if not is_remote(path):
            write_atomically(path, contents)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        # An object appears when all of it has arrived.
        path.write_bytes(contents)
