from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasnet_jax.search.evolution import IDENTITY_SHARE, EvolutionState, RegularizedEvolution
from nasnet_jax.search.strategy import Proposal
from nasnet_jax.space import choices, decision_kinds


def observe(
    method: RegularizedEvolution, state: EvolutionState, values: list[int]
) -> tuple[EvolutionState, dict[str, jax.Array]]:
    """Observes points whose first decision and reward are given values."""
    decisions = np.zeros((len(values), len(method.choices)), np.int32)
    decisions[:, 0] = values
    proposal = Proposal(jnp.array(decisions), jnp.zeros(decisions.shape))
    return method.observe(state, proposal, np.array(values, np.float32))


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=5).map(tuple).filter(lambda c: max(c) > 1),
    st.integers(0, 2**31 - 1),
)
def test_mutation_changes_one_decision_to_another_valid_one(
    choices: tuple[int, ...], seed: int
) -> None:
    method = RegularizedEvolution(choices=choices)
    parents_key, key = jax.random.split(jax.random.key(seed))
    parents = jax.random.randint(parents_key, (32, len(choices)), 0, jnp.array(choices))
    children = method.mutate(key, parents)
    assert ((children >= 0) & (children < jnp.array(choices))).all()
    assert ((children != parents).sum(axis=1) == 1).all()


def test_mutation_is_uniform_over_decisions_and_other_values() -> None:
    n = 12_000
    children = np.asarray(
        RegularizedEvolution(choices=(4, 1, 3)).mutate(
            jax.random.key(0), jnp.tile(jnp.array([2, 0, 1]), (n, 1))
        )
    )
    first = np.bincount(children[children[:, 0] != 2, 0], minlength=4) / n
    last = np.bincount(children[children[:, 2] != 1, 2], minlength=3) / n
    np.testing.assert_allclose(first, [1 / 6, 1 / 6, 0, 1 / 6], atol=0.02)
    np.testing.assert_allclose(last, [1 / 4, 0, 1 / 4], atol=0.02)


def test_published_mutations_are_of_operations_and_hidden_states() -> None:
    n, kinds = 20_000, decision_kinds(2)
    method = RegularizedEvolution(choices=choices(2), mutation="published", kinds=kinds)
    parents = jnp.tile(jnp.zeros(len(kinds), jnp.int32), (n, 1))
    children = np.asarray(method.mutate(jax.random.key(0), parents))
    assert ((children >= 0) & (children < np.array(choices(2)))).all()
    changed = (children != 0).mean(0)
    of_kind = {kind: changed[np.array(kinds) == kind] for kind in set(kinds)}
    # Half of what changes, over eight inputs and eight operations.
    for kind in ("input", "operation"):
        np.testing.assert_allclose(of_kind[kind], (1 - IDENTITY_SHARE) / 2 / 8, atol=0.006)
    assert not of_kind["combiner"].any()
    np.testing.assert_allclose((children == 0).all(1).mean(), IDENTITY_SHARE, atol=0.006)
    with pytest.raises(ValueError, match="known to be inputs and operations"):
        RegularizedEvolution(choices=choices(2), mutation="published")
    with pytest.raises(ValueError, match="decision or published, got 'point'"):
        RegularizedEvolution(choices=choices(2), mutation="point")


def test_the_oldest_die_however_good() -> None:
    method = RegularizedEvolution(choices=(100, 2), population_size=4)
    state, _ = observe(method, method.init(jax.random.key(0)), [99, 5, 6])
    state, metrics = observe(method, state, [7, 8])
    assert sorted(np.asarray(state.decisions[:, 0])) == [5, 6, 7, 8]
    np.testing.assert_array_equal(state.rewards, state.decisions[:, 0])
    assert metrics["population_best"] == 8 and metrics["population_mean"] == 6.5


def test_a_batch_larger_than_the_population_leaves_its_youngest() -> None:
    method = RegularizedEvolution(choices=(100, 2), population_size=3)
    state, _ = observe(method, method.init(jax.random.key(0)), [50])
    state, _ = observe(method, state, [1, 2, 3, 4, 5, 6, 7])
    assert sorted(np.asarray(state.decisions[:, 0])) == [5, 6, 7]
    state, _ = observe(method, state, [8])
    assert sorted(np.asarray(state.decisions[:, 0])) == [6, 7, 8]


def test_metrics_leave_out_places_not_yet_taken() -> None:
    method = RegularizedEvolution(choices=(100, 2), population_size=10)
    decisions = jnp.zeros((2, 2), jnp.int32)
    proposal = Proposal(decisions, jnp.zeros((2, 2)))
    state = method.init(jax.random.key(0))
    _, metrics = method.observe(state, proposal, np.array([-3, -1], np.float32))
    assert metrics["population_best"] == -1 and metrics["population_mean"] == -2


def test_points_are_uniform_until_the_population_is_full() -> None:
    method = RegularizedEvolution(choices=(50,) * 4, population_size=3, sample_size=64)
    state, _ = observe(method, method.init(jax.random.key(0)), [1, 2])
    _, proposal = method.propose(state, 200)
    assert len(np.unique(proposal.decisions[:, 3])) > 40

    state, _ = observe(method, state, [3])
    _, proposal = method.propose(state, 200)
    # 64 draws of 3 find the best nearly always: children are one mutation away from (3, 0, 0, 0).
    distance = (proposal.decisions != jnp.array([3, 0, 0, 0])).sum(axis=1)
    assert (distance == 1).all()


def test_tournaments_favour_but_do_not_ensure_the_best() -> None:
    """With S=1 parents are uniform; with S=2 of P=2 the best wins 3 of 4 times."""
    for sample_size, expected in [(1, 0.5), (2, 0.75)]:
        method = RegularizedEvolution(choices=(100, 2), population_size=2, sample_size=sample_size)
        state, _ = observe(method, method.init(jax.random.key(0)), [10, 20])
        _, proposal = method.propose(state, 4000)
        unmutated = proposal.decisions[proposal.decisions[:, 1] == 1, 0]
        np.testing.assert_allclose((unmutated == 20).mean(), expected, atol=0.04)


def test_evolution_improves_on_its_initial_population() -> None:
    method = RegularizedEvolution(choices=(4,) * 12, population_size=40, sample_size=10)
    state = method.init(jax.random.key(0))
    means = []
    for _ in range(40):
        state, proposal = method.propose(state, 20)
        rewards = np.asarray((proposal.decisions == 3).mean(axis=1), np.float32)
        means.append(rewards.mean())
        state, _ = method.observe(state, proposal, rewards)
    assert means[0] < 0.4 and means[-1] > 0.8


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one choice"):
        RegularizedEvolution(choices=(1, 1))
    with pytest.raises(ValueError, match="population_size and sample_size"):
        RegularizedEvolution(choices=(2,), population_size=0)
