"""Checkpoints of a training: the newest and the best, written in the background."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from nasnet_jax.checkpoint import (
    CheckpointManager,
    not_written,
    remove_damaged,
    restore_newest,
)
from nasnet_jax.preemption import Preempted
from nasnet_jax.train.program import TrainProgram, TrainState
from nasnet_jax.train.record import ACCURACY, Record

LAST_SAVE_SECONDS = 60
"""What a process of a pod that fails gives the others for the checkpoint under way."""


def _accuracy(metrics: Any) -> float:
    """Of a checkpoint; below that of any other if it was not evaluated."""
    return float(metrics.get(ACCURACY, -1.0))


class TrainCheckpoints:
    """Saves and restores a `TrainState` and its record; its number counts the updates before it.

    As a context manager it ends in order after an error too, when the other processes of a pod may
    not come to the same end.
    """

    def __init__(
        self, folder: str | os.PathLike[str], program: TrainProgram, *, newest: int, best: int
    ) -> None:
        policies: list[checkpoint_managers.PreservationPolicy] = [
            checkpoint_managers.LatestN(newest)
        ]
        if best:
            policies.append(
                checkpoint_managers.BestN(
                    get_metric_fn=_accuracy, n=best, keep_checkpoints_without_metrics=False
                )
            )
        self._program = program
        self._failure: BaseException | None = None
        self._barrier = ocp.multihost.get_barrier_sync_fn()
        self._manager = CheckpointManager(
            folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
                # Does nothing beside a policy, but without it Orbax stores no metrics.
                best_fn=_accuracy,
                create=True,
                enable_async_checkpointing=True,
                async_options=ocp.AsyncOptions(barrier_sync_fn=self._meet),
            ),
        )

    @property
    def latest(self) -> int | None:
        """The number of the newest checkpoint."""
        return self._manager.latest_step()

    def check(self) -> None:
        """Raises what went wrong in the background, without waiting for what is under way.

        Raises:
            OSError: If a checkpoint could not be written.
            jax.errors.JaxRuntimeError: If it could not because another process is gone.
        """
        if self._failure is not None:
            failure = self._failure
            raise not_written(f"A checkpoint in {self._manager.directory}", failure) from failure

    def save(self, step: int, state: TrainState, record: Record) -> None:
        """Begins to save a state, which may be donated as soon as this returns.

        Raises:
            OSError: As for `check`, also about the save before this one.
        """
        if step == self.latest:
            return
        snapshot = self._program.snapshot(state)
        with self._background_error_first():
            self._manager.save(
                step, args=ocp.args.StandardSave(snapshot), metrics=record.to_metrics()
            )

    def restore(self) -> tuple[TrainState, Record] | None:
        """The newest state that is whole and its record, or None if there is none at all.

        Raises:
            OSError: If it cannot be read now.
            ValueError: If there are checkpoints and all are damaged.
        """
        abstract: Any = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._program.replicated),
            jax.eval_shape(self._program.init),
        )
        restored = restore_newest(self._manager, ocp.args.StandardRestore(abstract))
        if restored is None:
            return None
        step, state = restored
        metrics = self._manager.metrics(step)
        return state, Record.from_metrics(metrics) if metrics else Record()

    def close(self) -> None:
        """Waits until everything is written, and ends the manager's threads.

        Raises:
            OSError: As for `check`.
        """
        with self._background_error_first():
            self._manager.wait_until_finished()
        self._manager.close()
        remove_damaged(self._manager)

    @contextlib.contextmanager
    def _background_error_first(self) -> Iterator[None]:
        """What failed in the background says more than what Orbax makes of it here."""
        try:
            yield
        except Exception:
            self.check()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if jax.process_count() == 1 or error is None or isinstance(error, Preempted):
            self.close()
        # Nothing can be finished with a process that is gone.
        elif not isinstance(error, jax.errors.JaxRuntimeError):
            # Another process may wait elsewhere for what this one has failed to do.
            waiting = threading.Thread(target=self._wait_quietly, daemon=True)
            waiting.start()
            waiting.join(LAST_SAVE_SECONDS)

    def _wait_quietly(self) -> None:
        """Waits for the save under way, whose failure would hide the error that came before."""
        with contextlib.suppress(Exception):
            self._manager.wait_until_finished()

    def _meet(self, *, key: str, timeout_ms: int) -> None:
        """Orbax's barrier between processes, which a save that has failed does not wait at.

        Orbax comes here also while an error is on its way. The others are not at this barrier then:
        they wait, for 20 minutes, for the files of this process.
        """
        failure = sys.exc_info()[1]
        if failure is not None:
            self._failure = failure
            raise failure
        self._barrier(key=key, timeout_ms=timeout_ms)
