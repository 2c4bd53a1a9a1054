"""The auxiliary head, step by step in NumPy."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.heads import AuxiliaryHead
from nasnet_jax.nn.layers import LayerConfig


def test_auxiliary_head_step_by_step():
    config = LayerConfig(norm_epsilon=0.0)
    head = AuxiliaryHead(3, (5, 8), 4, config=config, rngs=nnx.Rngs(0))
    head.head.linear.bias[...] = jnp.arange(4.0)
    head.eval()  # With their first statistics, normalizations change nothing.
    x = np.random.default_rng(0).normal(size=(2, 5, 8, 3)).astype(np.float32)
    rectified = np.maximum(x, 0)
    pooled = np.stack([rectified[:, :, start : start + 5].mean((1, 2)) for start in (0, 3)], 1)
    narrow = np.maximum(pooled @ np.asarray(head.project.conv.kernel[0, 0]), 0)
    kernel = np.asarray(head.whole_map.conv.kernel[...])
    assert kernel.shape == (1, 2, 128, 768)
    wide = np.maximum(np.einsum("bwc,wcf->bf", narrow, kernel[0]), 0)
    expected = wide @ np.asarray(head.head.linear.kernel[...]) + np.arange(4)
    np.testing.assert_allclose(head(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-4)


def test_initial_deviation_of_the_whole_map_convolution():
    head = AuxiliaryHead(3, (8, 8), 4, config=LayerConfig(), rngs=nnx.Rngs(0))
    kernel = head.whole_map.conv.kernel[...]
    assert float(kernel.std()) == pytest.approx(math.sqrt(2 / (2 * 2 * 768)), rel=0.02)


def test_logits_are_float32_whatever_comes_in():
    config = LayerConfig(dtype=jnp.bfloat16)
    head = nnx.eval_shape(lambda: AuxiliaryHead(3, (5, 5), 4, config=config, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(head)
    x = jax.ShapeDtypeStruct((2, 5, 5, 3), jnp.bfloat16)
    logits = jax.eval_shape(lambda state, x: nnx.merge(graph, state)(x), state, x)
    assert logits.dtype == jnp.float32


def test_maps_of_another_size_are_an_error():
    head = AuxiliaryHead(3, (5, 8), 4, config=LayerConfig(), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="made for maps of 5x8, but got 9x8"):
        head(jnp.zeros((1, 9, 8, 3)))
