"""Checkpoints of a training: the newest and the best, written in the background."""

from __future__ import annotations

import os
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from nasnet_jax.checkpoint import restore_newest
from nasnet_jax.train.program import TrainProgram, TrainState

_METRIC = "test_accuracy"


class TrainCheckpoints:
    """Saves and restores `TrainState`; a checkpoint's number counts the updates before it."""

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
        self._manager = ocp.CheckpointManager(
            folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
                create=True,
                enable_async_checkpointing=True,
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

    def save(self, step: int, state: TrainState, test_accuracy: float | None = None) -> None:
        """Begins to save a state, which may be donated as soon as this returns."""
        if step == self.latest:
            return
        metrics = None if test_accuracy is None else {_METRIC: test_accuracy}
        snapshot = self._program.snapshot(state)
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
        """Waits until everything is written, and ends the manager's threads."""
        self._manager.wait_until_finished()
        self._manager.close()
