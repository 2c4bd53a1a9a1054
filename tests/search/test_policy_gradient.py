from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasnet_jax.search.policy_gradient import PPO, Experience, PolicyGradient, Reinforce
from nasnet_jax.search.random_search import RandomSearch
from nasnet_jax.search.strategy import Proposal, Strategy

TINY = {"choices": (3, 2, 4), "hidden_size": 4}


def experience_of(method: PolicyGradient, n: int) -> tuple[dict, Experience]:
    state, proposal = method.propose(method.init(jax.random.key(0)), n)
    advantages = jnp.linspace(-1.0, 2.0, n)
    return state.params, Experience(*proposal, advantages, jnp.ones(n))


def test_ppo_gradient_where_the_policy_has_not_moved_is_that_of_reinforce() -> None:
    ppo, reinforce = PPO(**TINY, entropy_weight=0.3), Reinforce(**TINY, entropy_weight=0.3)
    params, experience = experience_of(ppo, 6)
    (gradient, metrics), (expected, _) = (
        jax.grad(method.loss, has_aux=True)(params, experience) for method in (ppo, reinforce)
    )
    assert metrics["clip_fraction"] == 0
    np.testing.assert_allclose(metrics["kl"], 0, atol=1e-6)
    for actual, wanted in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-7)
        assert jnp.abs(wanted).max() > 0


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.1, 2.0, 2.2),  # Within the clip.
        (1.5, 2.0, 2.4),  # Moved far enough in the advantage's direction: clipped.
        (0.5, 2.0, 1.0),  # Moved the wrong way: not clipped.
        (0.5, -2.0, -1.6),
        (1.5, -2.0, -3.0),
    ],
)
def test_clipped_surrogate(ratio: float, advantage: float, expected: float) -> None:
    experience = Experience(
        decisions=jnp.zeros((1, 1), jnp.int32),
        log_probs=jnp.full((1, 1), -1.0),
        advantages=jnp.array([advantage]),
        weights=jnp.ones(1),
    )
    log_probs = experience.log_probs + jnp.log(ratio)
    objective, _ = PPO(choices=(2,), clip=0.2).objective(log_probs, experience)
    np.testing.assert_allclose(objective, [expected], rtol=1e-5)


def test_points_of_weight_zero_do_not_count() -> None:
    ppo = PPO(**TINY, entropy_weight=0.1)
    params, experience = experience_of(ppo, 4)
    params = jax.tree.map(lambda p: 3 * p, params)
    padded = jax.tree.map(lambda field: jnp.concatenate([field, field[:2]]), experience)
    padded = padded._replace(weights=jnp.array([1.0, 1, 1, 1, 0, 0]))
    assert_metrics_equal(ppo.loss(params, padded)[1], ppo.loss(params, experience)[1])


def assert_metrics_equal(actual: dict[str, jax.Array], expected: dict[str, jax.Array]) -> None:
    assert actual.keys() == expected.keys()
    for name in actual:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-5, atol=1e-7)


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 60), minibatch=st.integers(1, 25), epochs=st.integers(1, 3))
def test_each_epoch_visits_every_point_once(n: int, minibatch: int, epochs: int) -> None:
    ppo = PPO(choices=(2,), minibatch=minibatch, epochs=epochs)
    indices, weights = ppo.minibatches(jax.random.key(0), n)
    count = -(-n // minibatch)
    assert indices.shape == weights.shape == (epochs * count, -(-n // count))
    assert indices.shape[1] <= minibatch
    sizes = weights.sum(axis=1)
    assert sizes.min() >= 1 and sizes.max() - sizes.min() <= 1
    for epoch in range(epochs):
        rows = slice(epoch * count, (epoch + 1) * count)
        assert sorted(np.asarray(indices[rows])[np.asarray(weights[rows]) == 1]) == list(range(n))


def test_epochs_are_shuffled_differently() -> None:
    indices, _ = PPO(choices=(2,), epochs=2).minibatches(jax.random.key(0), 40)
    first, second = np.asarray(indices).reshape(2, 40)
    assert (first != second).any()


def test_baseline_is_a_moving_average_that_starts_at_the_first_mean() -> None:
    reinforce = Reinforce(**TINY, baseline_decay=0.95)
    state = reinforce.init(jax.random.key(0))
    baseline = None
    for rewards in np.random.default_rng(0).uniform(size=(4, 5)).astype(np.float32):
        state, proposal = reinforce.propose(state, 5)
        state, metrics = reinforce.observe(state, proposal, rewards)
        before = rewards.mean() if baseline is None else baseline
        np.testing.assert_allclose(metrics["advantage"], rewards.mean() - before, atol=1e-6)
        baseline = 0.95**5 * before + (1 - 0.95**5) * rewards.mean()
        np.testing.assert_allclose(state.baseline, baseline, rtol=1e-5)
        assert metrics["baseline"] == state.baseline
    assert state.observed == 20


def test_baseline_of_equal_rewards_one_by_one_or_together_is_the_same() -> None:
    def baseline(sizes: list[int]) -> jax.Array:
        reinforce = Reinforce(**TINY)
        state = reinforce.init(jax.random.key(0))
        for n, reward in zip([4, *sizes], [0.1] + [0.9] * len(sizes), strict=True):
            state, proposal = reinforce.propose(state, n)
            state, _ = reinforce.observe(state, proposal, np.full(n, reward, np.float32))
        return state.baseline

    np.testing.assert_allclose(baseline([3]), baseline([1, 1, 1]), rtol=1e-5)


def test_first_step_is_adams_on_the_gradient_of_the_loss() -> None:
    """Adam's first step is the learning rate times the gradient's sign."""
    reinforce = Reinforce(**TINY, learning_rate=0.01)
    before, proposal = reinforce.propose(reinforce.init(jax.random.key(0)), 6)
    rewards = np.arange(6, dtype=np.float32)
    after, _ = reinforce.observe(before, proposal, rewards)
    experience = Experience(*proposal, jnp.array(rewards - rewards.mean()), jnp.ones(6))
    gradient = jax.grad(reinforce.loss, has_aux=True)(before.params, experience)[0]
    clear = [np.abs(np.asarray(g)) > 1e-4 for g in jax.tree.leaves(gradient)]
    assert sum(c.sum() for c in clear) > 50
    for old, new, g, c in zip(
        *map(jax.tree.leaves, (before.params, after.params, gradient)), clear, strict=True
    ):
        np.testing.assert_allclose((new - old)[c], -0.01 * np.sign(g)[c], rtol=1e-2)


def test_max_grad_norm_bounds_the_gradient_that_adam_sees() -> None:
    bounded = PPO(**TINY, max_grad_norm=1e-3, epochs=1)
    state, proposal = bounded.propose(bounded.init(jax.random.key(0)), 6)
    state, metrics = bounded.observe(state, proposal, np.arange(6, dtype=np.float32))
    assert metrics["grad_norm"] > 1e-3  # As it was before clipping.
    (_, (adam, _)) = state.opt_state
    norm = jnp.sqrt(sum(jnp.sum(m**2) for m in jax.tree.leaves(adam.mu)))
    np.testing.assert_allclose(norm, (1 - 0.9) * 1e-3, rtol=1e-3)


def test_equal_rewards_move_only_towards_entropy() -> None:
    still = PPO(**TINY, entropy_weight=0.0)
    state, proposal = still.propose(still.init(jax.random.key(0)), 8)
    after, _ = still.observe(state, proposal, np.full(8, 0.5, np.float32))
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)

    spread = PPO(**TINY, entropy_weight=1.0, learning_rate=0.01)
    state = spread.init(jax.random.key(0))
    state = state._replace(params=jax.tree.map(lambda p: 20 * p, state.params))
    entropies = []
    for _ in range(20):
        state, proposal = spread.propose(state, 8)
        state, metrics = spread.observe(state, proposal, np.full(8, 0.5, np.float32))
        entropies.append(float(metrics["entropy"]))
    assert entropies[-1] > entropies[0] + 0.05


def share_of_one_operation(decisions: jax.Array) -> jax.Array:
    return jnp.mean(decisions == 1, axis=1)


def share_of_agreeing_pairs(decisions: jax.Array) -> jax.Array:
    return jnp.mean(decisions[:, 0::2] == decisions[:, 1::2], axis=1)


def search(
    method: Strategy, reward: Callable[[jax.Array], jax.Array], seeds: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """Runs one search of 80 batches of 20 for each seed, all in one program.

    Returns:
        For each seed the best reward of the search, and the mean of its last batch.
    """

    def run(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def batch(state: Any, _: None) -> tuple[Any, tuple[jax.Array, jax.Array]]:
            state, proposal = method.propose(state, 20)
            rewards = reward(proposal.decisions)
            state, _ = method.observe(state, proposal, rewards)
            return state, (rewards.max(), rewards.mean())

        _, (best, mean) = jax.lax.scan(batch, method.init(key), length=80)
        return best.max(), mean[-1]

    return jax.jit(jax.vmap(run))(jax.vmap(jax.random.key)(jnp.array(seeds)))


@pytest.mark.parametrize(
    ("reward", "choices"),
    [(share_of_one_operation, (5,) * 12), (share_of_agreeing_pairs, (5,) * 16)],
)
def test_controller_learns_where_random_search_does_not(
    reward: Callable[[jax.Array], jax.Array], choices: tuple[int, ...]
) -> None:
    """The optimum is 1. Even the best of as many random points stays below 95 % of it.

    The learning rates were chosen on other seeds, of which all (32 for the pairs, 16 for the share)
    passed. At higher ones some runs settle early on a policy that is certain and not optimal.
    """
    seeds = (0, 1, 2, 3)
    best, _ = search(RandomSearch(choices=choices), reward, seeds)
    assert (best < 0.95).all()
    for method in (
        PPO(choices=choices, learning_rate=0.003),
        Reinforce(choices=choices, learning_rate=0.004),
    ):
        _, mean = search(method, reward, seeds)
        assert (mean >= 0.95).all(), f"{type(method).__name__}: {mean}"


@pytest.mark.parametrize("method", [PPO, Reinforce])
def test_a_batch_of_any_size_is_learnt_from(method: type[PolicyGradient]) -> None:
    learner = method(**TINY)
    state, proposal = learner.propose(learner.init(jax.random.key(0)), 27)
    after, metrics = learner.observe(state, proposal, np.linspace(0, 1, 27, dtype=np.float32))
    assert all(np.isfinite(value) for value in metrics.values())
    moved = jax.tree.map(lambda old, new: (old != new).any(), state.params, after.params)
    assert all(jax.tree.leaves(moved))


def test_log_probs_of_a_proposal_are_the_controllers() -> None:
    ppo = PPO(**TINY)
    state, proposal = ppo.propose(ppo.init(jax.random.key(0)), 7)
    assert isinstance(proposal, Proposal)
    rollout = ppo.controller(state.params).evaluate(proposal.decisions)
    np.testing.assert_allclose(proposal.log_probs, rollout.log_probs, rtol=1e-5)


@pytest.mark.parametrize(
    "field",
    [
        {"learning_rate": 0.0},
        {"entropy_weight": -1.0},
        {"baseline_decay": 1.0},
        {"temperature": 0.0},
        {"tanh_constant": -2.5},
        {"max_grad_norm": 0.0},
        {"minibatch": 0},
        {"epochs": 0},
        {"clip": 0.0},
    ],
)
def test_bad_values_are_named(field: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"strategy.{next(iter(field))} must be"):
        PPO(choices=(2, 3), **field)
