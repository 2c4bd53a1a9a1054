from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.inference import ModelDescription, fold_batch_norm
from nasnet_jax.nn.layers import BatchNorm, LayerConfig, ReluConvNorm
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import OPERATIONS, Architecture, Block, Cell


def every_operation() -> Architecture:
    """Both cells hold all 13 operations, half of them at the previous input, and both combiners.

    Both inputs are outputs too, so that they pass through whatever adapts them.
    """
    names = [*OPERATIONS, "conv_1x1"]
    blocks = tuple(
        Block(0, 1, left, right, combine="concat" if index % 3 == 0 else "add")
        for index, (left, right) in enumerate(zip(names[::2], names[1::2], strict=True))
    )
    cell = Cell(blocks, outputs=tuple(range(len(blocks) + 2)))
    return Architecture(cell, cell)


def test_a_folded_network_has_equal_outputs(
    description: ModelDescription,
    random_network: Callable[[ModelDescription], NASNet],
) -> None:
    everything = dataclasses.replace(
        description,
        architecture=every_operation(),
        # Odd, so that factorized reductions have halves of different widths.
        macro=dataclasses.replace(description.macro, num_filters=3, image_size=5),
    )
    network = random_network(everything)
    folded = fold_batch_norm(network)
    images = np.random.default_rng(1).normal(size=(2, 5, 5, 3)).astype(np.float32)
    expected = jax.jit(lambda net, x: net(x))(network, images)
    logits = jax.jit(lambda net, x: net(x))(folded, images)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(logits, expected, rtol=2e-4, atol=2e-4 * np.ptp(expected))

    assert not [module for _, module in nnx.iter_modules(folded) if isinstance(module, BatchNorm)]
    assert not jax.tree.leaves(nnx.state(folded, nnx.BatchStat))
    assert [module for _, module in nnx.iter_modules(network) if isinstance(module, BatchNorm)]


def test_a_layer_without_a_rule_is_refused() -> None:
    class Other(nnx.Module):
        def __init__(self) -> None:
            self.known = ReluConvNorm(2, 2, config=LayerConfig(), rngs=nnx.Rngs(0))
            self.norm = BatchNorm(2, config=LayerConfig())

    with pytest.raises(TypeError, match="no rule"):
        fold_batch_norm(Other())
