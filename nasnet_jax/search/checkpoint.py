"""Checkpoints of a search: all that it is, after every batch of children."""

from __future__ import annotations

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging

from nasnet_jax.search.history import History

FOLDER = "checkpoints"


class SearchCheckpoints:
    """Saves and restores the strategy's state and the history.

    A checkpoint's number counts what was finished before it: batches of children, and after
    those batches of the re-ranking.
    """

    def __init__(self, workdir: pathlib.Path, *, keep: int) -> None:
        self._manager = ocp.CheckpointManager(
            workdir / FOLDER,
            item_names=("strategy", "history"),
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
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
        self._manager.wait_until_finished()

    def restore(self, abstract_strategy_state: Any) -> tuple[int, Any, History] | None:
        """The newest checkpoint that can be read, or None if there is none at all.

        A damaged checkpoint is passed over for the one before it, with a warning.

        Raises:
          ValueError: if there are checkpoints and none can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        problems = []
        for step in steps:
            try:
                restored = self._manager.restore(
                    step,
                    args=ocp.args.Composite(
                        strategy=ocp.args.StandardRestore(abstract_strategy_state),
                        history=ocp.args.StandardRestore(),
                    ),
                )
            # What a damaged file raises depends on where it is damaged, in several libraries.
            except Exception as error:  # noqa: BLE001
                problems.append(f"checkpoint {step}: {type(error).__name__}: {error}")
                logging.warning("Checkpoint %s cannot be read, trying the one before.", step)
                self._manager.delete(step)
                continue
            return step, restored["strategy"], History.from_arrays(restored["history"])
        if problems:
            raise ValueError(
                "No checkpoint of this search can be read. Choose another --workdir to start "
                "anew.\n" + "\n".join(problems)
            )
        return None

    def close(self) -> None:
        """Ends the manager's threads."""
        self._manager.close()
