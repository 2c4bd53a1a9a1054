from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from nasnet_jax.search.controller import Controller


def make(choices: tuple[int, ...], **kwargs: float) -> Controller:
    return Controller(choices, rngs=nnx.Rngs(params=3), **{"hidden_size": 4, **kwargs})


def sharpened(choices: tuple[int, ...], **kwargs: float) -> Controller:
    """A controller whose parameters are large enough for clearly unequal probabilities."""
    controller = make(choices, **kwargs)
    nnx.update(controller, jax.tree.map(lambda p: 20 * p, nnx.state(controller)))
    return controller


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def expected_distributions(
    controller: Controller, decisions: np.ndarray, temperature: float, tanh_constant: float | None
) -> list[np.ndarray]:
    """The distribution of every decision of one sequence, by the LSTM's equations in NumPy."""
    p = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(controller)))
    memory = hidden = np.zeros(controller.hidden_size)
    previous = 0
    distributions = []
    for d, count in enumerate(controller.choices):
        gates = (
            p["embedding"][d, previous] @ p["cell"]["dense_i"]["kernel"]
            + hidden @ p["cell"]["dense_h"]["kernel"]
            + p["cell"]["dense_h"]["bias"]
        )
        i, f, g, o = np.split(gates, 4)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(memory)
        logits = (hidden @ p["kernel"][d] + p["bias"][d])[:count] / temperature
        if tanh_constant is not None:
            logits = tanh_constant * np.tanh(logits)
        distributions.append(np.exp(logits) / np.exp(logits).sum())
        previous = decisions[d]
    return distributions


@pytest.mark.parametrize(("temperature", "tanh_constant"), [(1.0, None), (2.0, None), (0.7, 1.5)])
def test_log_probs_and_entropies_follow_the_equations(
    temperature: float, tanh_constant: float | None
) -> None:
    controller = sharpened((3, 2, 4), temperature=temperature, tanh_constant=tanh_constant)
    decisions = np.array([[2, 1, 3], [0, 0, 1]])
    rollout = controller.evaluate(jnp.array(decisions))
    for row, sequence in enumerate(decisions):
        distributions = expected_distributions(controller, sequence, temperature, tanh_constant)
        for d, distribution in enumerate(distributions):
            log_prob = np.log(distribution[sequence[d]])
            entropy = -np.sum(distribution * np.log(distribution))
            np.testing.assert_allclose(rollout.log_probs[row, d], log_prob, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(rollout.entropies[row, d], entropy, rtol=1e-4, atol=1e-6)


def test_probabilities_of_all_sequences_sum_to_one() -> None:
    choices = (3, 1, 2, 4)
    every = jnp.array(list(itertools.product(*map(range, choices))))
    probabilities = jnp.exp(sharpened(choices).evaluate(every).log_probs.sum(axis=1))
    np.testing.assert_allclose(probabilities.sum(), 1.0, rtol=1e-5)
    assert probabilities.max() > 2 * probabilities.mean()  # The case is not the trivial one.


def test_a_decision_depends_on_those_before_it_and_not_on_those_after() -> None:
    controller = sharpened((3, 3, 3))
    rollout = controller.evaluate(jnp.array([[0, 1, 2], [2, 1, 2], [0, 1, 0]]))
    assert abs(rollout.entropies[0, 1] - rollout.entropies[1, 1]) > 1e-3
    np.testing.assert_array_equal(rollout.entropies[0], rollout.entropies[2])
    np.testing.assert_array_equal(rollout.log_probs[0, :2], rollout.log_probs[2, :2])


def test_samples_follow_the_probabilities() -> None:
    choices, n = (3, 2), 20_000
    controller = sharpened(choices)
    sampled = np.asarray(controller.sample(jax.random.key(1), n).decisions)
    every = np.array(list(itertools.product(*map(range, choices))))
    probabilities = np.exp(controller.evaluate(jnp.array(every)).log_probs.sum(axis=1))
    shares = (sampled[:, None] == every).all(axis=-1).mean(axis=0)
    five_sigma = 5 * np.sqrt(probabilities * (1 - probabilities) / n)
    assert (np.abs(shares - probabilities) < five_sigma).all()


@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=6).map(tuple),
    st.integers(0, 2**31 - 1),
)
def test_masked_choices_are_never_taken(choices: tuple[int, ...], seed: int) -> None:
    controller = make(choices)
    rollout = controller.sample(jax.random.key(seed), 64)
    assert rollout.decisions.shape == (64, len(choices))
    assert rollout.decisions.dtype == jnp.int32
    assert (rollout.decisions >= 0).all()
    assert (rollout.decisions < jnp.array(choices)).all()
    # Near its initialisation a controller is near uniform over the valid choices only.
    bound = np.broadcast_to(np.log(choices), (64, len(choices)))
    assert (rollout.entropies <= bound + 1e-6).all()
    np.testing.assert_allclose(rollout.entropies, bound, atol=0.05)


def test_evaluate_returns_what_sample_returned() -> None:
    controller = sharpened((4, 2, 5, 1, 3))
    sampled = controller.sample(jax.random.key(0), 16)
    evaluated = controller.evaluate(sampled.decisions)
    np.testing.assert_array_equal(sampled.decisions, evaluated.decisions)
    np.testing.assert_allclose(sampled.log_probs, evaluated.log_probs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sampled.entropies, evaluated.entropies, rtol=1e-5, atol=1e-6)


def test_gradients_are_finite_with_masked_choices() -> None:
    graphdef, params = nnx.split(make((2, 7, 1)))

    def total(params: nnx.State) -> jax.Array:
        rollout = nnx.merge(graphdef, params).evaluate(jnp.array([[1, 6, 0], [0, 2, 0]]))
        return rollout.log_probs.sum() + rollout.entropies.sum()

    gradient = jax.grad(total)(params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    bias = nnx.to_pure_dict(gradient)["bias"]
    assert (bias[0, 2:] == 0).all() and (bias[0, :2] != 0).all()


def test_every_parameter_starts_uniform_within_a_tenth() -> None:
    params = nnx.to_pure_dict(nnx.state(Controller((13, 5) * 4, rngs=nnx.Rngs(params=0))))
    assert params["cell"]["dense_h"]["kernel"].shape == (100, 400)  # 100 units, four gates.
    for leaf in jax.tree.leaves(params):
        assert jnp.abs(leaf).max() <= 0.1
        assert leaf.max() > 0.09 and leaf.min() < -0.09
        np.testing.assert_allclose(leaf.std(), 0.2 / np.sqrt(12), rtol=0.1)
