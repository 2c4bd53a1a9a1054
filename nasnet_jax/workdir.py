"""The folder of a run: it belongs to one configuration, and no other one overwrites it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import ml_collections
from jax.experimental import multihost_utils

from nasnet_jax.lock import LOCK_FILE, locked
from nasnet_jax.paths import local_path
from nasnet_jax.space.serialization import write_atomically

CONFIG_FILE = "config.json"


def absolute_workdir(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of a run, wherever the process may go later.

    Raises:
      ValueError: if it is empty, or an address such as `gs://`, which would become a folder here.
    """
    if not os.fspath(workdir):
        raise ValueError("The workdir is an empty text. Name a folder.")
    if "://" in os.fspath(workdir):
        raise ValueError(
            f"The workdir {os.fspath(workdir)!r} is no folder. A run writes into a local or mounted "
            "one: mount the bucket, for example with gcsfuse. docs/pods.md shows how."
        )
    return pathlib.Path(os.path.abspath(local_path(workdir)))


@contextlib.contextmanager
def claim_workdir(
    workdir: str | os.PathLike[str], config: ml_collections.ConfigDict
) -> Iterator[pathlib.Path]:
    """Makes the folder of a run, or finds it to be resumed, and holds it inside the block.

    In a pod all processes call it and share the folder; the first one does the work.

    Raises:
      ValueError: if the folder holds a run with another configuration, is in use by another run,
        or cannot be written.
    """
    path = absolute_workdir(workdir)
    refusal: ValueError | None = None
    with contextlib.ExitStack() as held:
        if jax.process_index() == 0:
            try:
                _make(path)
                held.enter_context(locked(path))
                _claim(path, config)
            except ValueError as error:
                refusal = error
            except OSError as error:
                refusal = ValueError(f"The workdir {path} cannot be written: {error}")
        if jax.process_count() > 1:
            refused = bool(multihost_utils.broadcast_one_to_all(refusal is not None))
            if refused and refusal is None:
                refusal = ValueError(f"Process 0 refused the workdir {path}; it says why.")
        if refusal is not None:
            raise refusal
        yield path


def _make(path: pathlib.Path) -> None:
    """Makes the folder, unless it is there and can be that of a run."""
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise PermissionError(f"no permission to write in {path}")
    # A run that was killed in its first moment leaves these.
    begun = (LOCK_FILE, f".{CONFIG_FILE}.")
    if not (path / CONFIG_FILE).exists() and any(
        not file.name.startswith(begun) for file in path.iterdir()
    ):
        raise ValueError(
            f"The folder {path} is not empty and is not the folder of a run (it has no "
            f"{CONFIG_FILE}). Choose another --workdir."
        )


def _claim(path: pathlib.Path, config: ml_collections.ConfigDict) -> None:
    written = json.loads(config.to_json_best_effort())
    if not (path / CONFIG_FILE).exists():
        write_atomically(path / CONFIG_FILE, json.dumps(written, indent=2) + "\n")
        return
    found = json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
    differences = _differences(found, written)
    if differences:
        raise ValueError(
            f"The folder {path} holds a run with another configuration:\n"
            + "\n".join(f"  {line}" for line in differences)
            + "\nChoose another --workdir, or the configuration that it was started with."
        )


def _differences(there: Any, here: Any, prefix: str = "") -> list[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        lines = []
        for name in sorted({*there, *here}):
            where = f"{prefix}{name}"
            if name not in there:
                lines.append(f"{where}: not there, here {here[name]!r}")
            elif name not in here:
                lines.append(f"{where}: there {there[name]!r}, not here")
            else:
                lines += _differences(there[name], here[name], f"{where}.")
        return lines
    return [] if there == here else [f"{prefix[:-1]}: there {there!r}, here {here!r}"]
