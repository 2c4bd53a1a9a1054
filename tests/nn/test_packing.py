"""What goes into a flat buffer comes out of it, kernels first."""

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
    return Packing(functools.partial(make, name, stride))


def started(packed: Packing, draw: jax.Array) -> jax.Array:
    return initial_slots([packed], jnp.array(0), draw)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_unpacked_state_is_that_of_the_module(name, stride):
    packed = packing(name, stride)
    expected = nnx.state(nnx.eval_shape(functools.partial(make, name, stride)))
    found = packed.unpack(jnp.arange(packed.size + 5.0))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    assert [x.shape for x in jax.tree.leaves(found)] == [x.shape for x in jax.tree.leaves(expected)]
    # Every number of the buffer is used once, but for the rest behind.
    numbers = [np.ravel(leaf) for leaf in jax.tree.leaves(found)]
    used = np.sort(np.concatenate(numbers)) if numbers else np.zeros(0)
    np.testing.assert_array_equal(used, np.arange(packed.size))


@pytest.mark.parametrize("name", OPERATIONS)
def test_kernels_lie_in_front(name):
    packed = packing(name)
    in_front = np.concatenate([np.zeros(packed.kernel_size), np.ones(packed.size)])
    state = packed.unpack(jnp.asarray(in_front))
    kernels = 0
    for path, leaf in jax.tree.leaves_with_path(state):
        is_kernel = "kernel" in jax.tree_util.keystr(path)
        np.testing.assert_array_equal(leaf, 0.0 if is_kernel else 1.0)
        kernels += leaf.size if is_kernel else 0
    assert packed.kernel_size == kernels


def test_sizes_in_closed_form():
    f = FEATURES
    sizes = {name: (packing(name).kernel_size, packing(name).size) for name in OPERATIONS}
    assert sizes["identity"] == sizes["max_pool_3x3"] == (0, 0)
    assert sizes["conv_3x3"] == sizes["dilated_conv_3x3"] == (9 * f * f, 9 * f * f + 2 * f)
    assert sizes["conv_1x7_7x1"] == (14 * f * f, 14 * f * f + 4 * f)
    assert sizes["sep_conv_5x5"] == (50 * f + 2 * f * f, 50 * f + 2 * f * f + 4 * f)


@pytest.mark.parametrize("name", ["conv_1x7_7x1", "conv_3x3", "sep_conv_3x3"])
def test_initial_parameters(name):
    """A draw of ones shows every leaf's deviation; scales are 1, offsets and the rest 0."""
    packed = packing(name)
    width = packed.size + 7
    flat = started(packed, jnp.ones(width))
    assert flat.shape == (width,)
    np.testing.assert_array_equal(flat[packed.size :], 0.0)
    for path, leaf in jax.tree.leaves_with_path(packed.unpack(flat)):
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
    draw = jnp.arange(1.0, packed.size + 1)
    kernel = started(packed, draw)[: packed.kernel_size]
    np.testing.assert_allclose(kernel, math.sqrt(2.6 / FEATURES) * draw[: packed.kernel_size])


@pytest.mark.parametrize("name", ["identity", "avg_pool_3x3"])
def test_operations_without_parameters(name):
    packed = packing(name)
    np.testing.assert_array_equal(started(packed, jnp.ones(4)), np.zeros(4))
    images = jnp.ones((1, 3, 3, FEATURES))
    np.testing.assert_allclose(packed.module(jnp.ones(4))(images), images, rtol=1e-6)


def test_module_computes_with_the_buffer():
    packed = packing("conv_1x1")
    flat = started(packed, jax.random.truncated_normal(jax.random.key(0), -2, 2, (packed.size,)))
    images = jax.random.normal(jax.random.key(1), (2, 3, 3, FEATURES))
    expected = make("conv_1x1")
    nnx.update(expected, packed.unpack(flat))
    np.testing.assert_array_equal(packed.module(flat)(images), expected(images))


def test_each_slot_starts_as_the_module_that_it_holds():
    packings = [packing(name) for name in OPERATIONS]
    width = max(packed.size for packed in packings) + 3
    draws = jax.random.normal(jax.random.key(0), (2, len(packings), width))
    held = jnp.stack([jnp.arange(len(packings)), jnp.arange(len(packings))[::-1]])
    slots = initial_slots(packings, held, draws)
    decayed = kernel_mask(packings, held, width)
    for place in np.ndindex(held.shape):
        packed = packings[held[place]]
        np.testing.assert_array_equal(slots[place], started(packed, draws[place]))
        np.testing.assert_array_equal(decayed[place], np.arange(width) < packed.kernel_size)
