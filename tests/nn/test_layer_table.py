"""Operations as rows of layers: which layer runs where, and on which rows of a slot."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.layer_table import NO_NORM, LayerTable
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.operations import Operation, operation
from nasnet_jax.space import OPERATIONS

FEATURES = 3
CONFIG = LayerConfig(track_statistics=False)
TABLE = LayerTable(FEATURES, CONFIG)
IMAGES = jax.random.normal(jax.random.key(0), (2, 5, 5, FEATURES))


def make(name: str, stride: int) -> Operation:
    return operation(name, FEATURES, FEATURES, stride, config=CONFIG, rngs=nnx.Rngs(0))


def filled(name: str, stride: int, slot: jax.Array) -> Operation:
    """The operation with the parameters of a slot."""
    made = make(name, stride)
    held = OPERATIONS.index(name) + len(OPERATIONS) * (stride - 1)
    for layer, packing in zip(made.layers, TABLE.packings[held], strict=True):
        nnx.update(layer, packing.unpack(slot))
        slot = slot[packing.rows :]
    return made


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_the_layers_of_a_slot_are_its_operation(name: str, stride: int) -> None:
    slot = 1 + 0.3 * jax.random.normal(jax.random.key(1), (TABLE.rows, FEATURES))
    number = OPERATIONS.index(name)
    layers = TABLE.layers(jnp.array(number + len(OPERATIONS) * (stride - 1)))

    def normalized(x: jax.Array, count: int) -> jax.Array:
        norm = layers.norm[count]
        rows = slot[jnp.maximum(norm, 0) :][: TABLE.norm_rows]
        return TABLE.normalize(norm, x, rows)

    x = IMAGES
    if stride == 2:
        x = normalized(TABLE.halve(jnp.array(number), x, slot), int(layers.halving) - 1)
    for count in range(int(layers.halving), int(layers.number)):
        rows = slot[layers.start[count] :][: TABLE.layer_rows]
        x = normalized(TABLE.before_norm(layers.kind[count], x, rows), count)
    expected = filled(name, stride, slot)(IMAGES)
    assert x.shape == expected.shape == (2, -(-5 // stride), -(-5 // stride), FEATURES)
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-5)


def test_a_program_holds_each_layer_once() -> None:
    """17 layers keep the size, and the second ones of separable convolutions are like the first."""
    held = np.arange(2 * len(OPERATIONS))
    layers = TABLE.layers(held)
    here = np.arange(2) >= layers.halving[:, None]
    here &= np.arange(2) < layers.number[:, None]
    assert here[: len(OPERATIONS)].sum() == 17
    assert sorted(set(np.asarray(layers.kind)[here])) == list(range(14))
    # Behind what halves the size there is only a separable convolution's second layer.
    behind = [OPERATIONS[i] for i in range(13) if here[13 + i].any()]
    assert behind == ["sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"]


def test_pooling_has_no_normalization() -> None:
    layers = TABLE.layers(np.arange(len(OPERATIONS)))
    for name, norm in zip(OPERATIONS, np.asarray(layers.norm[:, 0]), strict=True):
        assert (norm == NO_NORM) == ("pool" in name or name == "identity")


def test_a_slot_has_room_for_any_layer_at_each_start() -> None:
    layers = TABLE.layers(np.arange(2 * len(OPERATIONS)))
    assert int(layers.start.max()) + TABLE.layer_rows == TABLE.rows
    assert int(layers.norm.max()) + TABLE.norm_rows <= TABLE.rows
