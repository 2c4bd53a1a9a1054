"""What goes into a buffer comes out of it, kernels first."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.layers import LayerConfig, kernel_deviation
from nasnet_jax.nn.operations import operation
from nasnet_jax.nn.packing import Packing, initial_slots, kernel_mask
from nasnet_jax.space import OPERATIONS

FEATURES = 8
CONFIG = LayerConfig(track_statistics=False)


def make(name: str, stride: int = 1) -> nnx.Module:
    return operation(name, FEATURES, FEATURES, stride, config=CONFIG, rngs=nnx.Rngs(0))


def packing(name: str, stride: int = 1) -> Packing:
    return Packing(nnx.eval_shape(functools.partial(make, name, stride)))


def started(packed: Packing, draw: jax.Array) -> jax.Array:
    return initial_slots([[packed]], jnp.array(0), draw)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_unpacked_state_is_that_of_the_module(name, stride):
    packed = packing(name, stride)
    expected = nnx.state(nnx.eval_shape(functools.partial(make, name, stride)))
    buffer = jnp.arange((packed.rows + 5.0) * FEATURES).reshape(-1, FEATURES)
    found = packed.unpack(buffer)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    assert [x.shape for x in jax.tree.leaves(found)] == [x.shape for x in jax.tree.leaves(expected)]
    # Every number of the buffer is used once, but for the rest behind.
    numbers = [np.ravel(leaf) for leaf in jax.tree.leaves(found)]
    used = np.sort(np.concatenate(numbers)) if numbers else np.zeros(0)
    np.testing.assert_array_equal(used, np.arange(packed.rows * FEATURES))


@pytest.mark.parametrize("name", OPERATIONS)
def test_kernels_lie_in_front(name):
    packed = packing(name)
    behind = np.arange(packed.rows) >= packed.kernel_rows
    state = packed.unpack(jnp.asarray(np.repeat(behind[:, None], FEATURES, 1), jnp.float32))
    kernels = 0
    for path, leaf in jax.tree.leaves_with_path(state):
        is_kernel = "kernel" in jax.tree_util.keystr(path)
        np.testing.assert_array_equal(leaf, 0.0 if is_kernel else 1.0)
        kernels += leaf.size if is_kernel else 0
    assert packed.kernel_rows * FEATURES == kernels


def test_sizes_in_closed_form():
    f = FEATURES
    rows = {name: (packing(name).kernel_rows, packing(name).rows) for name in OPERATIONS}
    assert rows["identity"] == rows["max_pool_3x3"] == (0, 0)
    assert rows["conv_3x3"] == rows["dilated_conv_3x3"] == (9 * f, 9 * f + 2)
    assert rows["conv_1x7_7x1"] == (14 * f, 14 * f + 4)
    assert rows["sep_conv_5x5"] == (50 + 2 * f, 50 + 2 * f + 4)


@pytest.mark.parametrize("name", ["conv_1x7_7x1", "conv_3x3", "sep_conv_3x3"])
def test_initial_parameters(name):
    """A draw of ones shows every leaf's deviation; scales are 1, offsets and the rest 0."""
    packed = packing(name)
    shape = (packed.rows + 7, FEATURES)
    buffer = started(packed, jnp.ones(shape))
    assert buffer.shape == shape
    np.testing.assert_array_equal(buffer[packed.rows :], 0.0)
    for path, leaf in jax.tree.leaves_with_path(packed.unpack(buffer)):
        where = jax.tree_util.keystr(path)
        if "kernel" in where:
            depthwise = "depthwise" in where
            expected = kernel_deviation(leaf.shape, depthwise=depthwise)
            # Depthwise kernels [3, 3, 1, F] have the fan-out 9, not 9 * F.
            if depthwise:
                assert expected == pytest.approx(math.sqrt(2 * 1.3 / 9))
        else:
            expected = 1.0 if "scale" in where else 0.0
        np.testing.assert_allclose(leaf, expected, rtol=1e-6)


def test_initial_parameters_follow_the_draw():
    packed = packing("conv_1x1")
    draw = jnp.arange(1.0, packed.rows * FEATURES + 1).reshape(-1, FEATURES)
    kernel = started(packed, draw)[: packed.kernel_rows]
    np.testing.assert_allclose(kernel, math.sqrt(2.6 / FEATURES) * draw[: packed.kernel_rows])


@pytest.mark.parametrize("name", ["identity", "avg_pool_3x3"])
def test_operations_without_parameters(name):
    packed = packing(name)
    ones = jnp.ones((4, FEATURES))
    np.testing.assert_array_equal(started(packed, ones), 0.0 * ones)
    images = jnp.ones((1, 3, 3, FEATURES))
    np.testing.assert_allclose(packed.module(ones)(images), images, rtol=1e-6)


def test_module_computes_with_the_buffer():
    packed = packing("conv_1x1")
    shape = (packed.rows, FEATURES)
    buffer = started(packed, jax.random.truncated_normal(jax.random.key(0), -2, 2, shape))
    images = jax.random.normal(jax.random.key(1), (2, 3, 3, FEATURES))
    expected = make("conv_1x1")
    nnx.update(expected, packed.unpack(buffer))
    np.testing.assert_array_equal(packed.module(buffer)(images), expected(images))


def test_each_slot_starts_as_the_modules_that_it_holds():
    held = [
        [packing(name) for name in names]
        for names in zip(OPERATIONS, OPERATIONS[::-1], strict=True)
    ]
    rows = max(sum(packed.rows for packed in packings) for packings in held) + 3
    draws = jax.random.normal(jax.random.key(0), (2, len(held), rows, FEATURES))
    chosen = jnp.stack([jnp.arange(len(held)), jnp.arange(len(held))[::-1]])
    slots = initial_slots(held, chosen, draws)
    decayed = kernel_mask(held, chosen, rows, FEATURES)
    for place in np.ndindex(chosen.shape):
        start = 0
        for packed in held[chosen[place]]:
            end = start + packed.rows
            expected = started(packed, draws[place][start:end])
            np.testing.assert_array_equal(slots[place][start:end], expected)
            kernels = np.arange(packed.rows)[:, None] < packed.kernel_rows
            kernels = np.repeat(kernels, FEATURES, 1)
            np.testing.assert_array_equal(decayed[place][start:end], kernels)
            start = end
        np.testing.assert_array_equal(slots[place][start:], 0.0)
        np.testing.assert_array_equal(decayed[place][start:], 0.0)
