"""Pooling is lax's reduce_window, and the average's divisor counts pixels inside the image only."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from nasnet_jax.nn import pooling
from nasnet_jax.nn.convolution import same_pads
from nasnet_jax.nn.pooling import average_pool, max_pool

SIZES = [(6, 7), (9, 8)]


def distinct(size: tuple[int, int]) -> jax.Array:
    """Images without two equal numbers, so that every window has one maximum."""
    shape = (2, *size, 3)
    numbers = np.random.default_rng(0).permutation(np.prod(shape))
    return jnp.asarray(numbers.reshape(shape) - 50.0)


def window_max(x: jax.Array, size: int, stride: int) -> jax.Array:
    return lax.reduce_window(
        x, -np.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), "SAME"
    )


def window_sum(x: jax.Array, size: int, stride: int) -> jax.Array:
    return lax.reduce_window(x, 0.0, lax.add, (1, size, size, 1), (1, stride, stride, 1), "SAME")


def value_and_gradient(function, x):
    y, vjp = jax.vjp(function, x)
    return y, vjp(jnp.asarray(np.random.default_rng(1).normal(size=y.shape)))[0]


@pytest.mark.parametrize("image", SIZES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5, 7])
def test_max_pool_is_reduce_window(size, stride, image):
    with jax.enable_x64(True):
        x = distinct(image)
        found = value_and_gradient(functools.partial(max_pool, size=size, stride=stride), x)
        expected = value_and_gradient(functools.partial(window_max, size=size, stride=stride), x)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("image", SIZES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "form, whole",
    [(pooling._max_by_window, window_max), (pooling._sum_by_window, window_sum)],
)
def test_rows_then_columns_are_whole_windows(form, whole, stride, image):
    """What TPUs and GPUs run."""
    with jax.enable_x64(True):
        x = distinct(image)
        pads = same_pads(image, (5, 5), (stride, stride), (1, 1))
        found = value_and_gradient(functools.partial(form, size=5, stride=stride, pads=pads), x)
        expected = value_and_gradient(functools.partial(whole, size=5, stride=stride), x)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("image", SIZES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
def test_average_pool_is_a_sum_over_a_count(size, stride, image):
    with jax.enable_x64(True):
        x = distinct(image)

        def expected_average(x):
            return window_sum(x, size, stride) / window_sum(jnp.ones_like(x), size, stride)

        found = value_and_gradient(functools.partial(average_pool, size=size, stride=stride), x)
        expected = value_and_gradient(expected_average, x)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_divisor_at_the_borders():
    """One bright pixel in the corner of 4x4: the windows that see it have 4, 6 and 9 pixels."""
    image = jnp.zeros((1, 4, 4, 1)).at[0, 0, 0, 0].set(36.0)
    expected = np.zeros((4, 4))
    expected[:2, :2] = [[36 / 4, 36 / 6], [36 / 6, 36 / 9]]
    np.testing.assert_allclose(average_pool(image, 3, 1)[0, :, :, 0], expected, rtol=1e-6)


def test_divisor_with_stride_two():
    """Of an even side SAME pads behind only: windows start at pixels 0 and 2, the last sees two."""
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    grid = np.arange(16.0).reshape(4, 4)
    expected = [
        [grid[0:3, 0:3].mean(), grid[0:3, 2:4].mean()],
        [grid[2:4, 0:3].mean(), grid[2:4, 2:4].mean()],
    ]
    np.testing.assert_allclose(average_pool(image, 3, 2)[0, :, :, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_padding_enters_neither_maximum_nor_average(stride):
    """Negative constant images stay what they are, though the padding is larger."""
    image = jnp.full((1, 5, 6, 2), -3.0)
    for pooled in (max_pool(image, 7, stride), average_pool(image, 3, stride)):
        assert pooled.shape == (1, -(-5 // stride), -(-6 // stride), 2)
        np.testing.assert_allclose(pooled, -3.0, rtol=1e-6)


def test_type_stays():
    image = jnp.ones((1, 4, 4, 1), jnp.bfloat16)
    assert max_pool(image, 3, 1).dtype == average_pool(image, 3, 1).dtype == jnp.bfloat16
