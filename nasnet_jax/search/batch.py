"""The children of one batch: those that are new are trained, the others keep what they got."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ml_collections
import numpy as np

from nasnet_jax.search.child_trainer import ChildResult, ChildTrainer
from nasnet_jax.search.history import Entry, History, Status
from nasnet_jax.space import Architecture


def train_batch(
    config: ml_collections.ConfigDict,
    trainer: ChildTrainer,
    history: History,
    batch: int,
    rows: np.ndarray,
    log_probs: np.ndarray,
    *,
    on_call: Callable[[float, Sequence[ChildResult]], None],
) -> list[Entry]:
    """Trains those of a batch's architectures that are new, and fills in the others.

    Args:
      config: of the search.
      trainer: of the children.
      history: of those before.
      batch: its number.
      rows: canonical decisions `[n, D]`.
      log_probs: of the proposals, `[n]`.
      on_call: as of `ChildTrainer.train`.

    Returns:
      The `n` children, which are not in the history yet.
    """
    fresh: dict[bytes, Architecture] = {}
    for row in rows:
        if config.retrain_duplicates or history.find(row) is None:
            fresh.setdefault(row.tobytes(), Architecture.from_decisions(row))
    trained = trainer.train(list(fresh.values()), epochs=config.child.epochs, on_call=on_call)
    results = dict(zip(fresh, trained, strict=True))
    entries, used = [], set()
    for row, log_prob in zip(rows, log_probs, strict=True):
        key = row.tobytes()
        counted = trainer.budget.cost(Architecture.from_decisions(row))
        found = results.get(key) or history.find(row)
        assert found is not None
        status, seconds = Status.REUSED, 0.0
        if key in results and key not in used:
            used.add(key)
            status = Status.DIVERGED if results[key].diverged else Status.TRAINED
            seconds = results[key].seconds
        entries.append(
            Entry(
                batch=batch,
                decisions=row,
                reward=found.reward,
                status=status,
                params=counted.params,
                macs=counted.macs,
                seconds=seconds,
                log_prob=float(log_prob),
                accuracy=found.accuracy,
            )
        )
    return entries
