"""Normalization in closed form, the initialiser's deviation and the factorized reduction."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.layers import (
    BatchNorm,
    FactorizedReduction,
    LayerConfig,
    Projection,
    ReluConvNorm,
    conv,
    kernel_init,
)

IMAGES = jnp.asarray(np.random.default_rng(0).normal(2.0, 3.0, (6, 4, 5, 3)), jnp.float32)
SCALE, OFFSET = np.array([1.0, -2.0, 0.5]), np.array([0.0, 1.0, -3.0])


def batch_norm(**settings) -> BatchNorm:
    norm = BatchNorm(3, config=LayerConfig(**settings))
    norm.scale[...] = jnp.asarray(SCALE, jnp.float32)
    norm.offset[...] = jnp.asarray(OFFSET, jnp.float32)
    return norm


def test_batch_norm_in_closed_form():
    x = np.asarray(IMAGES, np.float64)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    expected = (x - mean) / np.sqrt(variance + 0.1) * SCALE + OFFSET
    np.testing.assert_allclose(batch_norm(norm_epsilon=0.1)(IMAGES), expected, rtol=1e-5, atol=1e-5)


def test_groups_are_normalized_separately():
    grouped = batch_norm(norm_group=2)(IMAGES)
    parts = [batch_norm()(IMAGES[start : start + 2]) for start in (0, 2, 4)]
    np.testing.assert_allclose(grouped, jnp.concatenate(parts), rtol=1e-6, atol=1e-6)
    assert float(jnp.abs(grouped - batch_norm()(IMAGES)).max()) > 0.1


def test_a_batch_that_is_no_multiple_of_the_group_is_an_error():
    with pytest.raises(ValueError, match="batch of 6 examples is not a multiple of the 4"):
        batch_norm(norm_group=4)(IMAGES)


@pytest.mark.parametrize("group", [None, 3])
def test_running_statistics(group):
    norm = batch_norm(norm_decay=0.75, norm_group=group)
    norm(IMAGES)
    norm(2.0 * IMAGES)
    x = np.asarray(IMAGES, np.float64).reshape(-1, group or 6, 4, 5, 3)
    mean = x.mean((1, 2, 3)).mean(0)
    variance = x.var((1, 2, 3)).mean(0)
    # Twice decay * old + (1 - decay) * new, from 0 and from 1.
    np.testing.assert_allclose(norm.mean[...], 0.75 * 0.25 * mean + 0.25 * 2 * mean, rtol=1e-5)
    expected = 0.75**2 + 0.75 * 0.25 * variance + 0.25 * 4 * variance
    np.testing.assert_allclose(norm.variance[...], expected, rtol=1e-5)


def test_inference_uses_the_running_statistics():
    norm = batch_norm(norm_epsilon=0.0)
    norm.mean[...] = jnp.array([1.0, 2.0, 3.0])
    norm.variance[...] = jnp.array([4.0, 9.0, 16.0])
    norm.use_running_average = True
    expected = (np.asarray(IMAGES) - [1, 2, 3]) / [2, 3, 4] * SCALE + OFFSET
    np.testing.assert_allclose(norm(IMAGES), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(norm.mean[...], [1.0, 2.0, 3.0])


def test_without_running_statistics_inference_uses_the_batch():
    norm = batch_norm(track_statistics=False)
    training = norm(IMAGES)
    norm.use_running_average = True
    np.testing.assert_array_equal(norm(IMAGES), training)
    assert not jax.tree.leaves(nnx.state(norm, nnx.BatchStat))


def test_statistics_of_bfloat16_are_taken_in_float32():
    """The mean of 100 +- 1 would be lost in bfloat16, whose steps there are 0.5."""
    x = jnp.asarray(np.random.default_rng(1).normal(100.0, 1.0, (8, 8, 8, 3)), jnp.bfloat16)
    norm = BatchNorm(3, config=LayerConfig())
    y = norm(x)
    assert y.dtype == jnp.bfloat16 and norm.mean[...].dtype == jnp.float32
    wide = np.asarray(x, np.float64)
    expected = (wide - wide.mean((0, 1, 2))) / np.sqrt(wide.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, atol=0.02)


@pytest.mark.parametrize(
    ("shape", "depthwise", "fan_out"),
    [
        ((3, 3, 16, 64), False, 9 * 64),
        ((1, 1, 256, 32), False, 32),
        ((5, 5, 1, 512), True, 25),
        ((64, 10), False, 10),
    ],
)
def test_deviation_of_initial_kernels(shape, depthwise, fan_out):
    def draw(key):
        return kernel_init(key, shape, jnp.float32, depthwise=depthwise)

    draws = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(0), 20)))
    expected = math.sqrt(2.0 / fan_out)
    # Truncation at two deviations leaves 0.8796 of a normal's, and the factor 1.3 on the variance
    # makes up for it but for 0.3%.
    assert draws.std() == pytest.approx(expected, rel=0.02)
    assert abs(draws.mean()) < 0.03 * expected
    assert np.abs(draws).max() <= 2 * math.sqrt(1.3) * expected * (1 + 1e-6)


def test_depthwise_layers_use_the_depthwise_deviation():
    layer = conv(512, 512, (3, 3), depthwise=True, config=LayerConfig(), rngs=nnx.Rngs(0))
    assert layer.kernel.shape == (3, 3, 1, 512)
    assert float(layer.kernel[...].std()) == pytest.approx(math.sqrt(2 / 9), rel=0.03)


def test_relu_comes_before_the_convolution():
    layer = ReluConvNorm(3, 2, config=LayerConfig(), rngs=nnx.Rngs(0))
    np.testing.assert_allclose(layer(IMAGES), layer(jnp.maximum(IMAGES, 0)), rtol=1e-6)
    free = ReluConvNorm(3, 2, relu=False, config=LayerConfig(), rngs=nnx.Rngs(0))
    assert float(jnp.abs(free(IMAGES) - layer(IMAGES)).max()) > 0.1


@pytest.mark.parametrize("features", [4, 5])
@pytest.mark.parametrize("size", [(6, 6), (5, 7), (6, 7), (1, 2)])
def test_factorized_reduction(size, features):
    """Even pixels to the first half, odd ones to the second, whose last lies outside odd sizes."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *size, 3)), jnp.float32)
    layer = FactorizedReduction(3, features, config=LayerConfig(), rngs=nnx.Rngs(0))
    rows, columns = -(-size[0] // 2), -(-size[1] // 2)
    positive = np.zeros((2, 2 * rows, 2 * columns, 3))
    positive[:, : size[0], : size[1]] = np.maximum(x, 0)
    # The shifted path starts at pixel (1, 1); what lies behind the image is zero.
    halves = positive[:, ::2, ::2], positive[:, 1::2, 1::2]
    kernels = layer.path_1.kernel[0, 0], layer.path_2.kernel[0, 0]
    assert [kernel.shape[1] for kernel in kernels] == [-(-features // 2), features // 2]
    y = np.concatenate([half @ np.asarray(k) for half, k in zip(halves, kernels, strict=True)], -1)
    expected = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
    found = layer(x)
    assert found.shape == (2, rows, columns, features)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_projection_concatenates_left_before_right():
    layer = Projection(3, config=LayerConfig(), rngs=nnx.Rngs(0))
    left, right = IMAGES[:3], IMAGES[3:]
    kernel = np.asarray(layer.project.conv.kernel[0, 0])
    y = np.maximum(left, 0) @ kernel[:3] + np.maximum(right, 0) @ kernel[3:]
    expected = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(layer(left, right), expected, rtol=1e-3, atol=1e-3)
