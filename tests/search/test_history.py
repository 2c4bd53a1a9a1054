"""A history as long as the paper's search stays small and is read at once."""

from __future__ import annotations

import time
from pathlib import Path

import jax
import numpy as np
import pytest

from nasnet_jax.search.checkpoint import SearchCheckpoints
from nasnet_jax.search.config import default_config
from nasnet_jax.search.history import Entry, History, Status
from nasnet_jax.search.strategies import make_strategy
from nasnet_jax.space import canonical_decisions, choices

CHILDREN = 20_000


@pytest.fixture(scope="module")
def long_history() -> History:
    """Random children, which compress worse than those that a controller has come to prefer."""
    rng = np.random.default_rng(0)
    number_of_choices = choices(5)
    drawn = rng.integers(0, number_of_choices, (CHILDREN, len(number_of_choices)))
    history = History(len(number_of_choices))
    for index, decisions in enumerate(canonical_decisions(drawn.astype(np.int32))):
        history.append(
            Entry(
                batch=index // 20,
                decisions=decisions,
                reward=float(rng.uniform()),
                status=Status.TRAINED,
                params=int(rng.integers(10**5, 10**7)),
                macs=int(rng.integers(10**7, 10**9)),
                seconds=float(rng.uniform(60, 600)),
                log_prob=float(rng.uniform(-90, -10)),
                accuracy=float(rng.uniform()),
                epochs=int(rng.integers(1, 20)),
                first_reward=float(rng.uniform()),
            )
        )
    return history


def test_checkpoint_of_20000_children_is_small_and_quick(
    long_history: History, tmp_path: Path
) -> None:
    strategy = make_strategy(default_config().strategy, choices(5))
    state = strategy.init(jax.random.key(0))
    checkpoints = SearchCheckpoints(tmp_path, keep=1)
    checkpoints.save(1, state, long_history, {"search": 1.5})
    files = [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5e6
    abstract = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state)
    # Of this process, since a busy machine says nothing about the code.
    started = time.process_time()
    restored = checkpoints.restore(abstract)
    assert time.process_time() - started < 1
    checkpoints.close()
    assert restored is not None
    history = restored.history
    assert (restored.step, len(history), restored.effort) == (1, CHILDREN, {"search": 1.5})
    for name, array in long_history.to_arrays().items():
        np.testing.assert_array_equal(history.to_arrays()[name], array)


def test_arrays_of_an_earlier_version_have_their_rewards_as_accuracies(
    long_history: History,
) -> None:
    arrays = {name: array[:50] for name, array in long_history.to_arrays().items()}
    for name in ("accuracy", "epochs", "first_reward", "rerank_accuracy", "rerank_epochs"):
        del arrays[name]
    arrays["rerank_reward"][3] = 0.5
    history = History.from_arrays(arrays, epochs=20, rerank_epochs=300)
    for number, entry in enumerate(history.entries):
        assert entry.accuracy == entry.first_reward == entry.reward and entry.epochs == 20
        assert entry.rerank_epochs == (300 if number == 3 else 0)
    assert history.winner() is history.entries[3] and history.winner().rerank_accuracy == 0.5


def test_the_next_batch_is_the_one_that_is_not_full(long_history: History) -> None:
    history = History.from_arrays(
        {name: array[:50] for name, array in long_history.to_arrays().items()}
    )
    # Of 20 children each; the third has ten.
    assert history.next_batch(20) == 2 and len(history.of_batch(2)) == 10
    first = history.best_reward
    history.drop(10)
    assert history.next_batch(20) == 2 and len(history) == 40 and not history.of_batch(2)
    assert first is not None and history.best_reward is not None
    assert history.best_reward == max(entry.reward for entry in history.entries) <= first
    assert all(history.find(entry.decisions) is not None for entry in history.entries)
    assert history.find(long_history.entries[45].decisions) is None
    assert History(20).next_batch(20) == 0
