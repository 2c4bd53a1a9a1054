"""What the checkpoints of searches and of trainings have in common."""

from __future__ import annotations

import enum
import errno
import functools
import os
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils

from nasnet_jax.reading import DamagedError, patiently, read_or_prove_damage

CHECKPOINTS = "checkpoints"
"""The folder of a run's checkpoints in its workdir."""
DAMAGED_FOLDER = "damaged_checkpoints"
"""Beside the folder of the checkpoints: those that could not be read, until there are newer ones."""
_PATTERN = frozenset("[]*?")
"""Characters by which Orbax, when it writes, would look for other names."""


class CheckpointManager(ocp.CheckpointManager):
    """Orbax's, with another idea of when a run ends and of what cannot be read.

    JAX's runtime lets the processes of a pod stop at the next number that one of them asks about. Orbax
    asks about the checkpoint's number when it saves, the loops about that of their call: a signal
    during a save would set a number that the loops have passed, and be forgotten. So it is left to
    `nasnet_jax.preemption` to ask whether the run is to end.
    """

    def reached_preemption(self, step: int) -> bool:
        """Never here; a run that is to end saves by itself."""
        return False

    def metrics(self, step: int) -> Any:
        """What a checkpoint was saved with; None if that is not there or damaged."""
        try:
            return patiently(functools.partial(super().metrics, step))
        except ValueError as error:
            logging.warning("What checkpoint %d was measured with is damaged: %s", step, error)
            return None


def check_name(path: pathlib.PurePath) -> None:
    """Checks that what is written below a folder can be read again.

    Args:
        path: Absolute.

    Raises:
        ValueError: If it is not so, because of what the folder or one above it is called.
    """
    found = "".join(sorted(_PATTERN.intersection(os.fspath(path))))
    if found:
        raise ValueError(
            f"Nothing can be written below {str(path)!r}: the characters {found} in its name stand for "
            "other ones where checkpoints are written. Choose another folder."
        )
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"Nothing can be written below {str(path)!r}: its name is not UTF-8. Choose another folder."
        ) from error


class _Outcome(enum.IntEnum):
    READ = 0
    DAMAGED = 1
    FAILED = 2


def restore_newest(
    manager: ocp.CheckpointManager, args: ocp.args.CheckpointArgs
) -> tuple[int, Any] | None:
    """Restores the newest checkpoint that is whole, or returns None if there is none at all.

    A damaged checkpoint (`nasnet_jax.reading` says what is) is passed over for the one before it, with
    a warning, and put aside so that the run can write it again. In a pod the first process says for
    all what is damaged.

    Args:
        manager: Of the checkpoints.
        args: What `manager.restore` takes.

    Returns:
        The number of the checkpoint, and what `manager.restore` returned.

    Raises:
        OSError: If the newest checkpoint cannot be read now; nothing is passed over then.
        ValueError: If there are checkpoints and all are damaged. They are left where they are then.
    """
    left = sorted(manager.all_steps())
    damaged: list[int] = []
    problems = []
    reader = _reader(manager, args)
    try:
        while (step := _by_first_process(left[-1] if left else -1)) >= 0:
            left = [number for number in left if number < step]
            restored, problem = _restore(reader, step, args)
            if problem is None:
                _put_aside(manager, damaged)
                return step, restored
            reason = (str(problem) or type(problem).__name__).splitlines()[0]
            problems.append(f"  checkpoint {step}: {type(problem).__name__}: {reason}")
            logging.warning("Checkpoint %d cannot be read, trying the one before: %s", step, reason)
            damaged.append(step)
    finally:
        reader.close()
    if problems:
        raise ValueError(
            f"No checkpoint in {manager.directory} can be read. Choose another --workdir to start "
            "anew.\n" + "\n".join(problems)
        )
    return None


def _reader(manager: ocp.CheckpointManager, args: ocp.args.CheckpointArgs) -> CheckpointManager:
    """A manager of the same folder that does not meet the other processes.

    One that has read its part would wait for those that cannot.
    """
    process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=process, active_processes={process})
    return CheckpointManager(
        manager.directory,
        item_names=tuple(args) if isinstance(args, ocp.args.Composite) else None,
        options=ocp.CheckpointManagerOptions(create=False, multiprocessing_options=alone),
    )


def _restore(
    reader: CheckpointManager, step: int, args: ocp.args.CheckpointArgs
) -> tuple[Any, BaseException | None]:
    """What a checkpoint holds, or what is wrong with it if it is damaged.

    Raises:
        OSError: If this process or another one cannot read it.
    """
    restored, problem, outcome = None, None, _Outcome.READ
    try:
        restored = read_or_prove_damage(
            lambda: reader.restore(step, args=args), pathlib.Path(reader.directory) / str(step)
        )
    except DamagedError as error:
        problem, outcome = error.__cause__, _Outcome.DAMAGED
    except OSError as error:
        problem, outcome = error, _Outcome.FAILED
    outcomes = multihost_utils.process_allgather(np.int32(outcome)).reshape(-1)
    place = f"Checkpoint {step} in {reader.directory}"
    if outcome == _Outcome.FAILED:
        raise OSError(
            f"{place} cannot be read now: {problem}. Nothing was changed; the same command goes on "
            "when it can be read."
        ) from problem
    others = outcomes == _Outcome.FAILED
    if outcomes[0] == _Outcome.READ:
        others |= outcomes == _Outcome.DAMAGED
    if others.any():
        raise OSError(f"{place} cannot be read by process {others.argmax()} of the pod.")
    if outcomes[0] == _Outcome.DAMAGED:
        return None, problem or ValueError("it is damaged for the first process")
    return restored, None


def _put_aside(manager: ocp.CheckpointManager, steps: list[int]) -> None:
    """Makes place for checkpoints to be written again."""
    if not steps:
        return
    if jax.process_index() == 0:
        for step in steps:
            place = _damaged_folder(manager) / str(step)
            # Of an earlier session, which wrote it anew; what it wrote is damaged now.
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(exist_ok=True)
            os.rename(pathlib.Path(manager.directory) / str(step), place)
    multihost_utils.sync_global_devices("nasnet_jax damaged checkpoints put aside")
    manager.reload()


def remove_damaged(manager: ocp.CheckpointManager) -> None:
    """Removes the damaged checkpoints that were put aside, if there is a newer one than all of them.

    Call it when everything is written.
    """
    folder = _damaged_folder(manager)
    if jax.process_index() == 0 and folder.exists():
        damaged = max((int(place.name) for place in folder.iterdir()), default=-1)
        newest = manager.latest_step()
        if newest is not None and newest >= damaged:
            shutil.rmtree(folder)


def _damaged_folder(manager: ocp.CheckpointManager) -> pathlib.Path:
    return pathlib.Path(manager.directory).parent / DAMAGED_FOLDER


def _by_first_process(number: int) -> int:
    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def not_written(what: str, error: BaseException) -> Exception:
    """The error to raise in place of one that writing raised, which often does not say where.

    Args:
        what: What was written, with its place.
        error: Of Orbax or below it.

    Returns:
        An OSError; or, if another process of the pod is gone, which Orbax calls a timeout, the
        JaxRuntimeError that says so.
    """
    if isinstance(error.__cause__, jax.errors.JaxRuntimeError):
        return error.__cause__
    # Below Orbax a long text has the system's words somewhere in it.
    text = str(error) or type(error).__name__
    words = [known for known in map(os.strerror, errno.errorcode) if known in text]
    return OSError(f"{what} could not be written: {max(words, key=len, default=text)}.")
