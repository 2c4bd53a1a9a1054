"""The kinds of layer, and how their kernels lie in rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.layers import Layer, LayerConfig
from nasnet_jax.nn.operations import operation
from nasnet_jax.space import OPERATIONS
from nasnet_jax.supernet.kinds import Kinds, LayerWeights, calls_of

FEATURES = 8
CONFIG = LayerConfig(track_statistics=False)
KINDS = Kinds(FEATURES, CONFIG, reduces=True)


def layers(name: str, stride: int) -> list[Layer]:
    def make() -> nnx.Module:
        return operation(name, FEATURES, FEATURES, stride, config=CONFIG, rngs=nnx.Rngs(0))

    return list(nnx.eval_shape(make).layers)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_number_of_the_rows_is_used_once(name: str, stride: int) -> None:
    for layer in layers(name, stride):
        weights = LayerWeights(layer, FEATURES)
        rows = jnp.arange((weights.rows + 5.0) * FEATURES).reshape(-1, FEATURES)
        norm = -1.0 - jnp.arange(2.0 * FEATURES).reshape(2, FEATURES)
        found, expected = weights.state(rows, norm), nnx.state(layer)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        shapes = [[leaf.shape for leaf in jax.tree.leaves(state)] for state in (found, expected)]
        assert shapes[0] == shapes[1]
        numbers = [np.ravel(leaf) for leaf in jax.tree.leaves(found)]
        used = np.sort(np.concatenate(numbers)) if numbers else np.zeros(0)
        first = -norm.size if layer.norm is not None else 0
        np.testing.assert_array_equal(used, np.arange(first, weights.rows * FEATURES))
        assert sum(part.rows for part in weights.parts) == weights.rows


def test_a_program_holds_each_layer_once() -> None:
    """17 layers keep the size, and the second ones of separable convolutions are like the first."""
    called = [calls_of(KINDS, name, halves=False) for name in OPERATIONS]
    assert sum(map(len, called)) == 17
    assert {number for row in called for number in row} == set(range(14))
    # A sum, a projection, and the two of which projections of more states are made.
    assert len(KINDS.keeping) == 18
    # Behind what halves the size there is only a separable convolution's second layer.
    behind = [name for name in OPERATIONS if len(calls_of(KINDS, name, halves=True)) > 1]
    assert behind == ["sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"]


def test_pooling_and_sums_have_no_normalization() -> None:
    for name in OPERATIONS:
        for number in calls_of(KINDS, name, halves=False):
            assert KINDS.all[number].normalizes == ("pool" not in name)
    assert [kind.name for kind in KINDS.keeping[14:] if not kind.normalizes] == [
        "sum",
        "part of a projection",
    ]
