"""Which children of a batch are trained, and which keep what is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasnet_jax.search.batch import train_batch
from nasnet_jax.search.budget import Budget
from nasnet_jax.search.child_result import ChildResult
from nasnet_jax.search.config import default_config
from nasnet_jax.search.history import Entry, History, Status
from nasnet_jax.search.warm_start import Known, WarmStart
from nasnet_jax.space import Architecture, Macro, canonical_decisions, choices

MACRO = Macro(num_cells=1, num_filters=4, num_classes=10, image_size=8, uniform_inputs=True)
ROWS = canonical_decisions(np.random.default_rng(0).integers(0, choices(2), (4, 20)))


class Trainer:
    """Gives the n-th child that it trains the accuracy n / 10."""

    budget = Budget(macro=MACRO, limits=(0, 0))

    def __init__(self) -> None:
        self.trained: list[Architecture] = []

    def train_span(
        self, architectures: list[Architecture], span: Any, **_: Any
    ) -> tuple[list[ChildResult], dict[int, Any]]:
        results = []
        for architecture in architectures:
            self.trained.append(architecture)
            accuracy = len(self.trained) / 10
            results.append(ChildResult(accuracy, accuracy, False, 1.0, span.end, accuracy))
        return results, {}


def batch(
    rows: list[int], *, history: History, warm: WarmStart, again: bool = False, number: int = 0
) -> tuple[Trainer, list[Entry]]:
    config, trainer = default_config(), Trainer()
    config.retrain_duplicates = again
    entries = train_batch(
        config,
        trainer,  # type: ignore[arg-type]
        history,
        warm,
        number,
        ROWS[rows],
        np.zeros(len(rows)),
        on_call=lambda share, finished: None,
    )
    return trainer, entries


def test_what_is_known_here_or_elsewhere_is_not_trained() -> None:
    line = Architecture.from_decisions(ROWS[2]).one_line()
    warm = WarmStart(known={line: Known(0.7, 0.8, 20, 0.6)})
    history = History(20)
    for entry in batch([0], history=history, warm=warm)[1]:
        history.append(entry)
    trainer, entries = batch([0, 1, 2, 1], history=history, warm=warm, number=1)
    assert trainer.trained == [Architecture.from_decisions(ROWS[1])]
    assert [entry.accuracy for entry in entries] == [0.1, 0.1, 0.8, 0.1]
    assert [entry.status for entry in entries] == [
        Status.REUSED,
        Status.TRAINED,
        Status.REUSED,
        Status.REUSED,
    ]
    assert (entries[2].reward, entries[2].first_reward, entries[2].epochs) == (0.7, 0.6, 20)
    assert [entry.seconds for entry in entries] == [0.0, 1.0, 0.0, 0.0]
    assert not batch([2, 2], history=history, warm=warm, number=2)[0].trained


@pytest.mark.parametrize("split", [1, 2, 3])
@pytest.mark.parametrize("again", [False, True])
def test_a_batch_in_two_parts_is_the_batch(split: int, again: bool) -> None:
    """Whether its doubles are trained again or not."""
    rows = [0, 1, 0, 1]
    earlier = History(20)
    for entry in batch([1], history=earlier, warm=WarmStart())[1]:
        earlier.append(entry)

    def statuses(parts: list[list[int]]) -> list[Status]:
        history = History(20)
        for entry in earlier.entries:
            history.append(entry)
        for part in parts:
            found = batch(part, history=history, warm=WarmStart(), again=again, number=1)[1]
            for entry in found:
                history.append(entry)
        return [entry.status for entry in history.entries]

    assert statuses([rows[:split], rows[split:]]) == statuses([rows])
