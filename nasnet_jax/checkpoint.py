"""What the checkpoints of searches and of trainings have in common."""

from __future__ import annotations

from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging


class CheckpointManager(ocp.CheckpointManager):
    """Orbax's, which leaves it to `nasnet_jax.preemption` to ask whether the run is to end.

    JAX's runtime lets the processes of a pod stop at the next number that one of them asks about. Orbax
    asks about the checkpoint's number when it saves, the loops about that of their call: a signal
    during a save would set a number that the loops have passed, and be forgotten.
    """

    def reached_preemption(self, step: int) -> bool:
        """Never here; a run that is to end saves by itself."""
        return False


def restore_newest(
    manager: ocp.CheckpointManager, args: ocp.args.CheckpointArgs
) -> tuple[int, Any] | None:
    """Restores the newest checkpoint that can be read, or returns None if there is none at all.

    A damaged checkpoint is passed over for the one before it, with a warning, and deleted so that
    the run can write it again.

    Args:
        manager: Of the checkpoints.
        args: What `manager.restore` takes.

    Returns:
        The number of the checkpoint, and what `manager.restore` returned.

    Raises:
        ValueError: If there are checkpoints and none can be read. None is deleted then.
    """
    damaged: list[int] = []
    problems = []
    for step in sorted(manager.all_steps(), reverse=True):
        try:
            restored = manager.restore(step, args=args)
        # What a damaged file raises depends on where it is damaged, in several libraries.
        except Exception as error:  # noqa: BLE001
            reason = (str(error) or type(error).__name__).splitlines()[0]
            problems.append(f"  checkpoint {step}: {type(error).__name__}: {reason}")
            logging.warning("Checkpoint %d cannot be read, trying the one before: %s", step, reason)
            damaged.append(step)
            continue
        for number in damaged:
            manager.delete(number)
        return step, restored
    if problems:
        raise ValueError(
            f"No checkpoint in {manager.directory} can be read. Choose another --workdir to start "
            "anew.\n" + "\n".join(problems)
        )
    return None


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
    return OSError(f"{what} could not be written: {error}")
