"""Layers that run in a loop are the layers that run one by one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn import operations
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.operations import operation

FEATURES = 4


def separable(*, rolled: bool, stride: int = 1) -> nnx.Module:
    config = LayerConfig(track_statistics=False, rolled=rolled)
    return operation("sep_conv_3x3", FEATURES, FEATURES, stride, config=config, rngs=nnx.Rngs(0))


def lowered(network: nnx.Module, platform: str) -> str:
    graphdef, state = nnx.split(network)
    images = jnp.ones((2, 6, 6, FEATURES))
    traced = jax.jit(lambda state, x: nnx.merge(graphdef, state)(x)).trace(state, images)
    return traced.lower(lowering_platforms=(platform,)).as_text()


def test_equal_layers_are_a_loop_on_tpus_only() -> None:
    assert "stablehlo.while" in lowered(separable(rolled=True), "tpu")
    assert "stablehlo.while" not in lowered(separable(rolled=True), "cpu")
    assert "stablehlo.while" not in lowered(separable(rolled=False), "tpu")
    # The first layer halves the size, so the two are not equal.
    assert "stablehlo.while" not in lowered(separable(rolled=True, stride=2), "tpu")


def test_the_loop_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network = separable(rolled=True)
    graphdef, state = nnx.split(network)
    images = jax.random.normal(jax.random.key(0), (2, 6, 6, FEATURES))

    def value(state: nnx.State, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(nnx.merge(graphdef, state)(x)))

    expected = jax.value_and_grad(value, (0, 1))(state, images)
    # The loop, where the platform would ask for one layer after the other.
    monkeypatch.setattr(operations, "_one_by_one", operations._in_a_loop)
    found = jax.value_and_grad(value, (0, 1))(state, images)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
