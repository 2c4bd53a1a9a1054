from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
import pytest

from nasnet_jax.search.config import default_config
from nasnet_jax.search.evolution import RegularizedEvolution
from nasnet_jax.search.policy_gradient import PPO, Reinforce
from nasnet_jax.search.random_search import RandomSearch
from nasnet_jax.search.strategies import make_strategy
from nasnet_jax.search.strategy import Strategy

CHOICES = (3, 2, 5, 1)
NAMES = ("ppo", "reinforce", "random", "evolution")


def make(name: str, choices: tuple[int, ...] = CHOICES) -> Strategy:
    config = ml_collections.ConfigDict({"name": name, "hidden_size": 6, "population_size": 8})
    return make_strategy(config, choices)


def advance(strategy: Strategy, state: Any, batches: int) -> tuple[Any, list[np.ndarray]]:
    """Runs a search with a known reward; returns its state and the proposed decisions."""
    proposed = []
    for _ in range(batches):
        state, proposal = strategy.propose(state, 6)
        proposed.append(np.asarray(proposal.decisions))
        rewards = (proposed[-1].sum(axis=1) / 10).astype(np.float32)
        state, _ = strategy.observe(state, proposal, rewards)
    return state, proposed


@contextmanager
def counted_compilations() -> Iterator[list[str]]:
    """Collects an entry for each program that XLA is asked to compile."""
    events: list[str] = []

    def listen(event: str, duration: float, **kwargs: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield events
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("name", NAMES)
def test_propose_and_observe_compile_once_each(name: str) -> None:
    choices = (2, 2, 3)  # In no other test, or nothing would be left to compile.
    state = make(name, choices).init(jax.random.key(0))
    rewards = np.linspace(0, 1, 6, dtype=np.float32)
    with counted_compilations() as compilations:
        for _ in range(3):
            strategy = make(name, choices)  # Equal strategies share what was compiled.
            state, proposal = strategy.propose(state, 6)
            state, _ = strategy.observe(state, proposal, rewards)
    assert len(compilations) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_goes_on_exactly_as_the_original(name: str, tmp_path: Path) -> None:
    strategy = make(name)
    state, _ = advance(strategy, strategy.init(jax.random.key(1)), 3)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        # A resuming search knows the shapes from a fresh state.
        template = jax.eval_shape(strategy.init, jax.random.key(0))
        restored = checkpointer.restore(tmp_path / "state", template)
    assert jax.tree.structure(restored) == jax.tree.structure(state)

    final, expected = advance(strategy, state, 3)
    restored_final, proposed = advance(strategy, restored, 3)
    np.testing.assert_array_equal(proposed, expected)
    jax.tree.map(np.testing.assert_array_equal, restored_final, final)


@pytest.mark.parametrize("name", NAMES)
def test_strategies_are_pure_and_depend_on_the_key(name: str) -> None:
    strategy = make(name)
    state = strategy.init(jax.random.key(2))
    _, first = advance(strategy, state, 2)
    _, again = advance(strategy, state, 2)
    _, other = advance(strategy, strategy.init(jax.random.key(3)), 2)
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != np.array(other)).any()
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize("name", NAMES)
def test_states_hold_plain_arrays_of_constant_types(name: str) -> None:
    strategy = make(name)
    before = strategy.init(jax.random.key(0))
    after, _ = advance(strategy, before, 1)
    described = [
        jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), state)
        for state in (before, after)
    ]
    assert described[0] == described[1]
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(before)} <= {"float32", "int32", "uint32"}


@pytest.mark.parametrize("name", NAMES)
def test_proposals_are_valid_and_metrics_are_scalars(name: str) -> None:
    strategy = make(name)
    state, proposal = strategy.propose(strategy.init(jax.random.key(0)), 6)
    assert proposal.decisions.shape == proposal.log_probs.shape == (6, 4)
    assert proposal.decisions.dtype == np.int32
    assert ((proposal.decisions >= 0) & (proposal.decisions < np.array(CHOICES))).all()
    _, metrics = strategy.observe(state, proposal, np.ones(6, np.float32))
    assert all(value.shape == () and np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("name", NAMES)
def test_one_reward_is_needed_for_each_point(name: str) -> None:
    strategy = make(name)
    state, proposal = strategy.propose(strategy.init(jax.random.key(0)), 6)
    with pytest.raises(ValueError, match=r"6 proposed points.*got \(5,\)"):
        strategy.observe(state, proposal, np.ones(5, np.float32))


def test_names_and_fields_reach_the_strategy() -> None:
    shared = {"learning_rate": 0.01, "clip": 0.1, "population_size": 7, "tanh_constant": None}

    def named(name: str) -> Strategy:
        return make_strategy(ml_collections.ConfigDict({"name": name, **shared}), list(CHOICES))

    assert named("ppo") == PPO(choices=CHOICES, learning_rate=0.01, clip=0.1)
    assert named("reinforce") == Reinforce(choices=CHOICES, learning_rate=0.01)
    assert named("random") == RandomSearch(choices=CHOICES)
    assert named("evolution") == RegularizedEvolution(choices=CHOICES, population_size=7)


@pytest.mark.parametrize("strategy", [PPO, Reinforce, RandomSearch, RegularizedEvolution])
def test_every_field_stands_in_the_configuration_with_its_default(strategy: type[Any]) -> None:
    config = default_config().strategy
    for field in dataclasses.fields(strategy):
        if field.name not in ("choices", "kinds"):
            assert config[field.name] == field.default


def test_unknown_names_and_fields_are_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="ppo, reinforce, random, evolution; got 'pso'"):
        make_strategy({"name": "pso"}, CHOICES)
    with pytest.raises(ValueError, match="one of ppo"):
        make_strategy({}, CHOICES)
    with pytest.raises(ValueError, match="no field learning_rte.*learning_rate"):
        make_strategy({"name": "ppo", "learning_rte": 0.1}, CHOICES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("choices", [(), (3, 0)])
def test_choices_must_be_positive(name: str, choices: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one decision"):
        make_strategy({"name": name}, choices)
