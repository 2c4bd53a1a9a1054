"""Checkpoints of a search: all that it is, after every batch of children."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from nasnet_jax.checkpoint import (
    CHECKPOINTS,
    CheckpointManager,
    not_written,
    remove_damaged,
    restore_newest,
)
from nasnet_jax.search.history import History

_EFFORT = "effort"
"""Beside the arrays of the history."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """What is in a checkpoint.

    Attributes:
        step: Its number.
        strategy_state: NumPy arrays.
        history: Of all children before it.
        effort: Seconds and the like that it took until then, by name; empty in a checkpoint of a
            version that did not keep them.
    """

    step: int
    strategy_state: Any
    history: History
    effort: Mapping[str, float]


class SearchCheckpoints:
    """Saves and restores the strategy's state, the history and what they took.

    A checkpoint's number counts what was finished before it: batches of children, and after
    those batches of the re-ranking.
    """

    def __init__(self, workdir: pathlib.Path, *, keep: int) -> None:
        self._manager = CheckpointManager(
            workdir / CHECKPOINTS,
            item_names=("strategy", "history"),
            # A search waits for its checkpoint anyway. In the background, a process of a pod that
            # cannot write would first wait for the others, and they for it: 20 minutes.
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, create=True, enable_async_checkpointing=False
            ),
        )

    def save(
        self, step: int, strategy_state: Any, history: History, effort: Mapping[str, float]
    ) -> None:
        """Saves, and returns when it is on disk.

        Raises:
            OSError: If it cannot be written, for example because the disk is full.
        """
        arrays: dict[str, Any] = history.to_arrays()
        arrays[_EFFORT] = {name: np.float64(value) for name, value in effort.items()}
        arguments = ocp.args.Composite(
            strategy=ocp.args.StandardSave(jax.device_get(strategy_state)),
            history=ocp.args.StandardSave(arrays),
        )
        try:
            self._manager.save(step, args=arguments)
        # Above TensorStore a full disk is a ValueError.
        except (OSError, ValueError) as error:
            raise not_written(f"A checkpoint in {self._manager.directory}", error) from error

    def restore(
        self, abstract_strategy_state: Any, *, epochs: int = 0, rerank_epochs: int = 0
    ) -> Restored | None:
        """The newest checkpoint that is whole, or None if there is none at all.

        A damaged checkpoint is passed over for the one before it, with a warning.

        Args:
            abstract_strategy_state: Of the same form.
            epochs: Of a child, for a checkpoint of a version that did not keep them.
            rerank_epochs: Of a longer training, for the same.

        Raises:
            OSError: If it cannot be read now.
            ValueError: If there are checkpoints and all are damaged.
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
        arrays = restored["history"]
        effort = {name: float(value) for name, value in arrays.get(_EFFORT, {}).items()}
        history = History.from_arrays(arrays, epochs=epochs, rerank_epochs=rerank_epochs)
        return Restored(step, restored["strategy"], history, effort)

    def close(self) -> None:
        """Ends the manager's threads."""
        self._manager.close()
        remove_damaged(self._manager)
