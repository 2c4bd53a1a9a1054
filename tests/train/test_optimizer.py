from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nasnet_jax.train import default_config
from nasnet_jax.train.optimizer import learning_rate_schedule, make_optimizer, moving_average


def plain_config(name: str):
    """No weight decay and no clipping, so that the rule itself is seen."""
    config = default_config()
    config.weight_decay = 0.0
    config.max_grad_norm = 0.0
    config.optimizer.name = name
    return config


def rates(step: int) -> float:
    return [0.5, 0.5, 0.1, 0.1, 0.02][step]


def run_optimizer(optimizer: optax.GradientTransformation, start: np.ndarray, gradients):
    parameters = {"kernel": jnp.asarray(start)}
    state = optimizer.init(parameters)
    for gradient in gradients:
        updates, state = optimizer.update({"kernel": jnp.asarray(gradient)}, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return np.asarray(parameters["kernel"])


def test_rmsprop_is_the_recursion_of_tensorflow():
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=3), 3 * rng.normal(size=(5, 3))
    weights, square, momentum = start.copy(), np.ones(3), np.zeros(3)
    for step, gradient in enumerate(gradients):
        square = 0.9 * square + 0.1 * gradient**2
        momentum = 0.9 * momentum + rates(step) * gradient / np.sqrt(square + 1.0)
        weights = weights - momentum
    config = plain_config("rmsprop")
    schedule = lambda count: jnp.asarray([rates(step) for step in range(5)])[count]  # noqa: E731
    found = run_optimizer(make_optimizer(config, schedule), start, gradients)
    np.testing.assert_allclose(found, weights, rtol=1e-5)


def test_momentum_is_applied_before_the_learning_rate():
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=3), rng.normal(size=(5, 3))
    weights, momentum = start.copy(), np.zeros(3)
    for step, gradient in enumerate(gradients):
        momentum = 0.9 * momentum + gradient
        weights = weights - rates(step) * momentum
    schedule = lambda count: jnp.asarray([rates(step) for step in range(5)])[count]  # noqa: E731
    optimizer = make_optimizer(plain_config("momentum"), schedule)
    np.testing.assert_allclose(run_optimizer(optimizer, start, gradients), weights, rtol=1e-5)


def test_kernels_decay_and_the_sum_is_clipped():
    config = plain_config("momentum")
    config.weight_decay, config.max_grad_norm, config.optimizer.momentum = 0.5, 1.0, 0.0
    optimizer = make_optimizer(config, lambda count: 1.0)
    parameters = {"conv": {"kernel": jnp.array([6.0])}, "norm": {"scale": jnp.array([100.0])}}
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    updates, _ = optimizer.update(zeros, optimizer.init(parameters), parameters)
    # The decay alone is 3, more than the norm that is allowed.
    np.testing.assert_allclose(updates["conv"]["kernel"], [-1.0])
    np.testing.assert_allclose(updates["norm"]["scale"], [0.0])


def test_the_learning_rate_falls_in_stairs_from_a_rate_in_proportion_to_the_batch():
    config = plain_config("rmsprop")
    config.batch_size = 1600
    config.optimizer.learning_rate = 0.04
    config.optimizer.reference_batch_size = 32
    config.optimizer.schedule = "exponential"
    schedule = learning_rate_schedule(config, total_steps=250_000, steps_per_epoch=800.7)
    stair = round(2.4 * 800.7)
    for step, expected in ((0, 2.0), (stair - 1, 2.0), (stair, 1.94), (3 * stair, 2 * 0.97**3)):
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-5)


def test_the_cosine_ends_at_zero():
    schedule = learning_rate_schedule(default_config(), total_steps=100, steps_per_epoch=10)
    found = [float(schedule(step)) for step in (0, 50, 100)]
    np.testing.assert_allclose(found, [0.025, 0.0125, 0.0], atol=1e-8)


def test_the_moving_average_forgets_its_start():
    average = {"x": jnp.array(100.0)}
    values = [3.0, 5.0]
    for updates, value in enumerate(values):
        average = moving_average(
            average, {"x": jnp.array(value)}, decay=0.9999, updates=jnp.array(updates)
        )
    first = 0.1 * 100.0 + 0.9 * 3.0
    assert float(average["x"]) == pytest.approx(2 / 11 * first + 9 / 11 * 5.0, rel=1e-6)
    late = moving_average({"x": jnp.array(1.0)}, {"x": jnp.array(0.0)}, decay=0.9, updates=10**6)
    assert float(late["x"]) == pytest.approx(0.9)
