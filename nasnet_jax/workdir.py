"""The folder of a run: it belongs to one configuration and one data set, and no others overwrite it.

It does so from its first checkpoint on. Before that there is nothing to lose: a run that fails before
its first step leaves nothing behind, and one that was killed can be started with other settings.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from nasnet_jax.checkpoint import CHECKPOINTS, check_name
from nasnet_jax.data.fingerprint import difference
from nasnet_jax.lock import locked
from nasnet_jax.paths import local_path
from nasnet_jax.reading import patiently
from nasnet_jax.run_files import CONFIG_FILE, DATA_FILE, HISTORY_FILE, LOCK_FILE, SUMMARY_FILE
from nasnet_jax.space.serialization import write_atomically

_RESULTS = (HISTORY_FILE, SUMMARY_FILE, "model")
"""By one of these a run has begun, even if somebody has removed its checkpoints."""
_LONGEST_BELOW = 300
"""Characters, at most, of the path of a file in a workdir, from there."""
_PLACE_OF_DATA = ("dataset.name", "dataset.data_dir")
"""Fields that may change where the fingerprint tells whether the data are the same."""

MayChange = Mapping[str, Callable[[Any, Any], bool]]
"""For a field of a configuration, whether a run that has begun with the first value can go on with the
second."""


def always(there: Any, here: Any) -> bool:
    """For a field that does not change what a run is."""
    return True


def absolute_workdir(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of a run, wherever the process may go later.

    Raises:
        ValueError: If it is empty, an address such as `gs://`, which would become a folder here, or
            has a name that checkpoints cannot be written below.
    """
    if not os.fspath(workdir):
        raise ValueError("The workdir is an empty text. Name a folder.")
    if "://" in os.fspath(workdir):
        raise ValueError(
            f"The workdir {os.fspath(workdir)!r} is no folder. A run writes into a local or mounted "
            "one: mount the bucket, for example with gcsfuse. docs/pods.md shows how."
        )
    path = pathlib.Path(os.path.abspath(local_path(workdir)))
    check_name(path)
    return path


class Workdir:
    """The folder of a run, looked at but not touched.

    In a pod all processes make one, with the same arguments, and share the folder; the first process
    looks and writes.

    Attributes:
        path: The folder, which need not exist.
        has_begun: Whether a run has saved something there.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        config: ml_collections.ConfigDict,
        *,
        defaults: ml_collections.ConfigDict,
        may_change: MayChange,
        reasons: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Looks whether the run can be begun or resumed there.

        Args:
            workdir: The folder.
            config: Of the run.
            defaults: A run that was begun by a version without one of these fields has its default.
            may_change: What may be another configuration than that of the run that is there.
            reasons: Why other fields, or the fields of a part, may not.

        Raises:
            ValueError: If the folder holds a run with another configuration or something else, or
                cannot be written.
        """
        self.path = absolute_workdir(workdir)
        self._config: dict[str, Any] = json.loads(config.to_json_best_effort())
        self._defaults: dict[str, Any] = json.loads(defaults.to_json_best_effort())
        self._may_change = may_change
        self._reasons = reasons
        self._fingerprint: Mapping[str, Any] = {}
        self._kept = False
        _by_first_process(self.path, self._check)
        self.has_begun = of_first_process(self._found_begun)

    def read(self, name: str) -> Any:
        """What a JSON file in the folder holds.

        Raises:
            OSError: If it cannot be read or is not there.
            ValueError: If it is damaged.
        """
        return _read_json(self.path / name)

    def finished_summary(
        self, what: str, has_nothing_left: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any] | None:
        """The summary of a run that is there and has nothing left to do, which is logged; else None.

        Args:
            what: The run is, for people.
            has_nothing_left: Of its summary; asked in the first process of a pod.
        """

        def is_finished() -> bool:
            return (self.path / SUMMARY_FILE).exists() and has_nothing_left(self.read(SUMMARY_FILE))

        if not of_first_process(is_finished):
            return None
        if jax.process_index() == 0:
            logging.warning("The %s in %s is finished; nothing is left to do.", what, self.path)
        return self.read(SUMMARY_FILE)

    def check_data(self, fingerprint: Mapping[str, Any]) -> None:
        """Notes the run's data, with which the run that is there, if there is one, must have begun.

        Args:
            fingerprint: Of the data (`nasnet_jax.data.fingerprint`).

        Raises:
            ValueError: If it did not, with the difference, or if the processes of a pod have
                different data.
        """
        self._fingerprint = fingerprint
        _check_same_everywhere(fingerprint)
        _by_first_process(self.path, self._check_data)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Makes the folder if it is not there, and holds it inside the block.

        Call `check_data` before. If the block fails before `keep`, what a new run has written is
        removed again.

        Raises:
            ValueError: As before, or if the folder is in use by another run.
        """
        with contextlib.ExitStack() as held:
            _by_first_process(self.path, lambda: self._claim(held))
            yield

    def keep(self) -> None:
        """Leaves what was written, whatever happens from now on: a first step or batch is made.

        What may be another one than when the run began is so from now on.
        """
        if self._kept:
            return
        self._kept = True
        path = self.path / CONFIG_FILE
        if jax.process_index() == 0 and _read_json(path) != self._config:
            _write_json(path, self._config)

    def _check(self) -> None:
        nearest = next(path for path in (self.path, *self.path.parents) if os.path.lexists(path))
        if not nearest.is_dir():
            raise NotADirectoryError(f"{nearest} is no folder")
        longest = os.pathconf(nearest, "PC_PATH_MAX") - _LONGEST_BELOW
        if len(os.fsencode(self.path)) > longest:
            raise OSError(f"its path is longer than {longest} characters")
        there = self.path / CONFIG_FILE
        if not there.exists():
            if not os.access(nearest, os.W_OK):
                raise PermissionError(f"no permission to write in {nearest}")
            # A run that was killed in its first moment leaves these.
            begun = (LOCK_FILE, f".{CONFIG_FILE}.")
            if nearest == self.path and any(
                not file.name.startswith(begun) for file in self.path.iterdir()
            ):
                raise ValueError(
                    f"The folder {self.path} is not empty and is not the folder of a run (it has no "
                    f"{CONFIG_FILE}). Choose another --workdir."
                )
        elif self._found_begun():
            differences = list(self._differences(_read_json(there), self._config, self._defaults))
            if differences:
                raise ValueError(
                    f"The folder {self.path} holds a run with another configuration:\n"
                    + "\n".join(f"  {line}" for line in differences)
                    + "\nChoose another --workdir, or the configuration that it was started with."
                )

    def _found_begun(self) -> bool:
        if any((self.path / name).exists() for name in _RESULTS):
            return True
        folder = self.path / CHECKPOINTS
        return folder.is_dir() and any(place.name.isdigit() for place in folder.iterdir())

    def _differences(self, there: Any, here: Any, defaults: Any, prefix: str = "") -> Iterator[str]:
        """A line for each field that may not be another one."""
        if isinstance(there, dict) and isinstance(here, dict):
            if not isinstance(defaults, dict):
                defaults = {}
            for name in sorted({*there, *here}):
                where = f"{prefix}{name}"
                if name not in here:
                    yield f"{where}: there {there[name]!r}, not here"
                elif name not in there and here[name] != defaults.get(name):
                    yield f"{where}: not there, here {here[name]!r}"
                elif name in there:
                    yield from self._differences(
                        there[name], here[name], defaults.get(name), f"{where}."
                    )
        elif there != here and not self._can_change(prefix[:-1], there, here):
            reason = self._reason(prefix[:-1])
            yield f"{prefix[:-1]}: there {there!r}, here {here!r}{reason and f' ({reason})'}"

    def _reason(self, field: str) -> str:
        """Why a field may not change: its own reason, or that of the part that it is in."""
        while field and field not in self._reasons:
            field = field.rpartition(".")[0]
        return self._reasons.get(field, "")

    def _can_change(self, field: str, there: Any, here: Any) -> bool:
        if field in _PLACE_OF_DATA:
            return (self.path / DATA_FILE).exists()
        return field in self._may_change and self._may_change[field](there, here)

    def _claim(self, held: contextlib.ExitStack) -> None:
        is_new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        if not os.access(self.path, os.W_OK):
            raise PermissionError(f"no permission to write in {self.path}")
        held.enter_context(locked(self.path))
        # Another run may have begun here since.
        self._check()
        self._check_data()
        config, data = self.path / CONFIG_FILE, self.path / DATA_FILE
        if not config.exists():
            held.callback(self._remove, itself=is_new)
        if not self._found_begun():
            _write_json(config, self._config)
            _write_json(data, self._fingerprint)
        elif not data.exists():
            # Begun by a version that did not keep it.
            _write_json(data, self._fingerprint)

    def _check_data(self) -> None:
        data = self.path / DATA_FILE
        if not self._found_begun() or not data.exists():
            return
        changed = difference(_read_json(data), self._fingerprint)
        if changed:
            raise ValueError(
                f"The run in {self.path} began with other data: {changed}. Choose another --workdir, "
                "or give it the data that it began with."
            )

    def _remove(self, *, itself: bool) -> None:
        """Takes away what a run has written that has not made a step."""
        if self._kept:
            return
        # What cannot be removed must not hide the error that came before.
        with contextlib.suppress(OSError):
            for place in self.path.iterdir():
                if place.is_dir():
                    shutil.rmtree(place)
                else:
                    place.unlink()
            if itself:
                self.path.rmdir()


def of_first_process(decide: Callable[[], bool]) -> bool:
    """What the first process of a pod finds, for all."""
    found = decide() if jax.process_index() == 0 else False
    return bool(multihost_utils.broadcast_one_to_all(np.bool_(found)))


def _by_first_process(path: pathlib.Path, work: Callable[[], None]) -> None:
    """Calls a function in the first process, whose refusal all of them raise."""
    refusal: ValueError | None = None
    if jax.process_index() == 0:
        try:
            work()
        except ValueError as error:
            refusal = error
        except OSError as error:
            refusal = ValueError(f"The workdir {path} cannot be written: {error}")
    refused = bool(multihost_utils.broadcast_one_to_all(np.bool_(refusal is not None)))
    if refused:
        raise refusal or ValueError(f"Process 0 refused the workdir {path}; it says why.")


def _check_same_everywhere(fingerprint: Mapping[str, Any]) -> None:
    """In a pod each process has read its own data.

    Raises:
        ValueError: If they are not the same.
    """
    digest = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).digest()
    digests = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8)).reshape(-1, 32)
    others = np.flatnonzero((digests != digests[0]).any(1))
    if others.size:
        raise ValueError(
            f"Process {others[0]} of the pod has other data than process 0. Give all the same."
        )


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(patiently(lambda: path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}). Choose another --workdir.") from error


def _write_json(path: pathlib.Path, content: Any) -> None:
    write_atomically(path, json.dumps(content, indent=2) + "\n")
