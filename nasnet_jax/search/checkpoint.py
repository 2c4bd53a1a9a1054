"""Checkpoints of a search: all that it is, after every batch of children."""

from __future__ import annotations

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from nasnet_jax.checkpoint import CheckpointManager, restore_newest
from nasnet_jax.search.history import History

FOLDER = "checkpoints"


class SearchCheckpoints:
    """Saves and restores the strategy's state and the history.

    A checkpoint's number counts what was finished before it: batches of children, and after
    those batches of the re-ranking.
    """

    def __init__(self, workdir: pathlib.Path, *, keep: int) -> None:
        self._manager = CheckpointManager(
            workdir / FOLDER,
            item_names=("strategy", "history"),
            # A search waits for its checkpoint anyway. In the background, a process of a pod that
            # cannot write would first wait for the others, and they for it: 20 minutes.
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, create=True, enable_async_checkpointing=False
            ),
        )

    def save(self, step: int, strategy_state: Any, history: History) -> None:
        """Saves, and returns when it is on disk."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                strategy=ocp.args.StandardSave(jax.device_get(strategy_state)),
                history=ocp.args.StandardSave(history.to_arrays()),
            ),
        )

    def restore(self, abstract_strategy_state: Any) -> tuple[int, Any, History] | None:
        """The newest checkpoint that can be read, or None if there is none at all.

        A damaged checkpoint is passed over for the one before it, with a warning.

        Raises:
          ValueError: if there are checkpoints and none can be read.
        """
        found = restore_newest(
            self._manager,
            ocp.args.Composite(
                strategy=ocp.args.StandardRestore(abstract_strategy_state),
                history=ocp.args.StandardRestore(),
            ),
        )
        if found is None:
            return None
        step, restored = found
        return step, restored["strategy"], History.from_arrays(restored["history"])

    def close(self) -> None:
        """Ends the manager's threads."""
        self._manager.close()
