"""The children of one batch: those that are new are trained, the others keep what they got."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ml_collections
import numpy as np

from nasnet_jax.search.child_result import ChildResult
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.search.halving import train_halved
from nasnet_jax.search.history import Entry, History, Status
from nasnet_jax.search.warm_start import Known, WarmStart
from nasnet_jax.space import Architecture


def train_batch(
    config: ml_collections.ConfigDict,
    trainer: ChildTrainer,
    history: History,
    warm: WarmStart,
    batch: int,
    rows: np.ndarray,
    log_probs: np.ndarray,
    *,
    on_call: Callable[[float, Sequence[ChildResult]], None],
) -> list[Entry]:
    """Trains those of a batch's architectures that are new, and fills in the others.

    Args:
        config: Of the search.
        trainer: Of the children.
        history: Of those before.
        warm: What is known from other searches.
        batch: Its number.
        rows: Canonical decisions `[n, D]`, of the whole batch or of what is left of it.
        log_probs: Of the proposals, `[n]`.
        on_call: As of `ChildTrainer.train`.

    Returns:
        The `n` children, which are not in the history yet.
    """

    def known(row: np.ndarray) -> Entry | Known | None:
        return history.find(row) or warm.find(row)

    fresh: dict[bytes, Architecture] = {}
    # Those of the batch that an earlier end of the search left.
    begun = {entry.decisions.tobytes() for entry in history.of_batch(batch)}
    for row in rows:
        again = config.retrain_duplicates and row.tobytes() not in begun
        if again or known(row) is None:
            fresh.setdefault(row.tobytes(), Architecture.from_decisions(row))
    trained = train_halved(
        trainer,
        list(fresh.values()),
        epochs=config.child.epochs,
        rungs=config.halving.rungs,
        keep=config.halving.keep,
        on_call=on_call,
    )
    results = dict(zip(fresh, trained, strict=True))
    entries, used = [], set()
    for row, log_prob in zip(rows, log_probs, strict=True):
        key = row.tobytes()
        counted = trainer.budget.cost(Architecture.from_decisions(row))
        found = results.get(key) or known(row)
        assert found is not None
        status, seconds = Status.REUSED, 0.0
        if key in results and key not in used:
            used.add(key)
            status = _status(results[key], config.child.epochs)
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
                epochs=found.epochs,
                first_reward=found.first_reward,
            )
        )
    return entries


def _status(result: ChildResult, epochs: int) -> Status:
    if result.diverged:
        return Status.DIVERGED
    return Status.TRAINED if result.epochs == epochs else Status.STOPPED
