"""DropPath in closed form, in a block, and in the cells of a network."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.cell import BlockModule, CellModule
from nasnet_jax.nn.drop_path import DropPath, depth_share
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import NASNET_A, Architecture, Block, Cell, Macro

MACRO = Macro(num_cells=1, num_filters=4, num_classes=None, image_size=4, num_reductions=1)
X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4, 4, 4)), jnp.float32)


def drop(probability: float, seed: int = 0) -> DropPath:
    return DropPath(jax.random.key(seed), probability)


@pytest.mark.parametrize("probability", [0.1, 0.7])
def test_share_of_dropped_examples_and_expected_value(probability):
    number = 10_000
    dropped = np.asarray(drop(probability)(jnp.ones((number, 2, 1, 3))))
    by_example = dropped[:, :1, :1, :1]
    # The whole path of an example, or nothing of it.
    np.testing.assert_array_equal(dropped, np.broadcast_to(by_example, dropped.shape))
    deviation = np.sqrt(probability * (1 - probability) / number)
    assert abs((by_example == 0).mean() - probability) < 4 * deviation
    kept = by_example[by_example > 0]
    np.testing.assert_allclose(kept, 1 / (1 - probability), rtol=1e-6)
    assert abs(by_example.mean() - 1) < 4 * deviation / (1 - probability)


def test_probabilities_of_zero_and_one():
    np.testing.assert_array_equal(drop(0.0)(X), X)
    value, gradient = jax.value_and_grad(lambda x: drop(1.0)(x).sum())(X)
    assert float(value) == 0.0
    np.testing.assert_array_equal(gradient, np.zeros_like(X))


def test_the_type_stays():
    assert drop(0.5)(X.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_parts_are_dropped_independently():
    number, probability = 10_000, 0.5
    ones = jnp.ones((number, 1))
    left, right = (np.asarray(drop(probability).part(n)(ones)) == 0 for n in (0, 1))
    assert abs((left & right).mean() - probability**2) < 4 * np.sqrt(0.25 * 0.75 / number)


@pytest.mark.parametrize(("num_cells", "final", "first_drop"), [(20, 0.4, 0.02), (22, 0.3, 0.0136)])
def test_depth_shares_of_the_released_networks(num_cells, final, first_drop):
    """CIFAR 6 @ 768 and Large 6 @ 4032."""
    assert final * depth_share(0, num_cells) == pytest.approx(first_drop, abs=5e-5)
    assert depth_share(num_cells - 1, num_cells) == 1.0


def test_number_of_cells_of_the_released_networks():
    cifar = Macro(num_cells=6, num_filters=32, num_classes=10, image_size=32)
    large = dataclasses.replace(cifar, image_size=331, stem="imagenet")
    mobile = dataclasses.replace(large, num_cells=4)
    assert [len(macro.cells) for macro in (cifar, large, mobile)] == [20, 22, 16]


@pytest.mark.parametrize(
    ("left", "right", "dropped"),
    [
        ("avg_pool_3x3", "identity", (True, False)),
        ("identity", "max_pool_3x3", (False, True)),
        ("identity", "identity", (False, False)),
    ],
)
def test_a_block_never_drops_an_identity(left, right, dropped):
    place, widths = MACRO.cells[0], MACRO.widths(NASNET_A)[0]
    widths = dataclasses.replace(widths, state_1=4)
    block = BlockModule(
        Block(0, 1, left, right), place, widths, config=LayerConfig(), rngs=nnx.Rngs(0)
    )
    states = [X, 2 * X]
    halves = block.left(states[0]), block.right(states[1])
    expected = sum(
        half for half, gone in zip(halves, dropped, strict=True) if not gone
    )  # At a probability of 1, what can be dropped is.
    np.testing.assert_allclose(block(states, drop(1.0)), expected, rtol=1e-6)


@pytest.mark.parametrize("scale_by_depth", [False, True])
def test_cells_get_their_share_and_their_own_key(monkeypatch, scale_by_depth):
    cell = Cell((Block(0, 1, "identity", "conv_1x1"),))
    net = NASNet(Architecture(cell, cell), MACRO, config=LayerConfig(), rngs=nnx.Rngs(0))
    seen, original = [], CellModule.__call__

    def record(self, current, previous, drop=None):
        seen.append(drop)
        return original(self, current, previous, drop)

    monkeypatch.setattr(CellModule, "__call__", record)
    images = jnp.ones((2, 4, 4, 3))
    net.training_logits(
        images, key=jax.random.key(0), drop_prob=jnp.float32(0.6), scale_by_depth=scale_by_depth
    )
    expected = [0.2, 0.4, 0.6] if scale_by_depth else [0.6, 0.6, 0.6]
    np.testing.assert_allclose([part.probability for part in seen], expected, rtol=1e-6)
    assert len({tuple(jax.random.key_data(part.key).tolist()) for part in seen}) == 3
    seen.clear()
    net.training_logits(images, key=jax.random.key(0), drop_prob=0.0, scale_by_depth=True)
    assert seen == [None] * 3
