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

from nasnet_jax.checkpoint import CheckpointManager, not_written, restore_newest
from nasnet_jax.preemption import Preempted
from nasnet_jax.train.program import TrainProgram, TrainState

LAST_SAVE_SECONDS = 60
"""What a process of a pod that fails gives the others for the checkpoint under way."""
_METRIC = "test_accuracy"


class TrainCheckpoints:
    """Saves and restores `TrainState`; a checkpoint's number counts the updates before it.

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
                    get_metric_fn=lambda metrics: metrics[_METRIC],
                    n=best,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._program = program
        self._failure: BaseException | None = None
        self._barrier = ocp.multihost.get_barrier_sync_fn()
        self._manager = CheckpointManager(
            folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
                create=True,
                enable_async_checkpointing=True,
                async_options=ocp.AsyncOptions(barrier_sync_fn=self._meet),
            ),
        )

    @property
    def latest(self) -> int | None:
        """The number of the newest checkpoint."""
        return self._manager.latest_step()

    @property
    def best_accuracy(self) -> float:
        """The highest test accuracy that a kept checkpoint was saved with; 0 without one."""
        accuracies = [0.0]
        for step in self._manager.all_steps():
            metrics = self._manager.metrics(step)
            if metrics:
                accuracies.append(metrics[_METRIC])
        return max(accuracies)

    def check(self) -> None:
        """Raises what went wrong in the background, without waiting for what is under way.

        Raises:
            OSError: If a checkpoint could not be written.
            jax.errors.JaxRuntimeError: If it could not because another process is gone.
        """
        if self._failure is not None:
            failure = self._failure
            raise not_written(f"A checkpoint in {self._manager.directory}", failure) from failure

    def save(self, step: int, state: TrainState, test_accuracy: float | None = None) -> None:
        """Begins to save a state, which may be donated as soon as this returns.

        Raises:
            OSError: As for `check`, also about the save before this one.
        """
        if step == self.latest:
            return
        metrics = None if test_accuracy is None else {_METRIC: test_accuracy}
        snapshot = self._program.snapshot(state)
        with self._background_error_first():
            self._manager.save(step, args=ocp.args.StandardSave(snapshot), metrics=metrics)

    def restore(self) -> TrainState | None:
        """The newest state that can be read, or None if there is none at all.

        Raises:
            ValueError: If there are checkpoints and none can be read.
        """
        abstract: Any = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._program.replicated),
            jax.eval_shape(self._program.init),
        )
        restored = restore_newest(self._manager, ocp.args.StandardRestore(abstract))
        return None if restored is None else restored[1]

    def close(self) -> None:
        """Waits until everything is written, and ends the manager's threads.

        Raises:
            OSError: As for `check`.
        """
        with self._background_error_first():
            self._manager.wait_until_finished()
        self._manager.close()

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
