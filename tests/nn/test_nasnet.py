"""The static network has the parameters that `cost` counts and the skeleton's shapes."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import NASNET_A, Architecture, Block, Cell, Macro, cost, sample_architecture

CIFAR = Macro(num_cells=6, num_filters=32, num_classes=10, image_size=32)
TINY = Macro(num_cells=2, num_filters=4, num_classes=3, image_size=(9, 14), num_reductions=1)
IMAGENET = Macro(
    num_cells=1, num_filters=12, num_classes=5, image_size=35, stem="imagenet", num_reductions=1
)
SKIPPING = dataclasses.replace(IMAGENET, skip_reduction_layer_input=True)


def abstract(architecture: Architecture, macro: Macro, **settings) -> NASNet:
    """The network with shapes in place of arrays."""
    config = LayerConfig(**settings)
    return nnx.eval_shape(lambda: NASNet(architecture, macro, config=config, rngs=nnx.Rngs(0)))


def count(net: NASNet, kind: type[nnx.Variable]) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(net, kind)))


@functools.cache
def random_architectures(number: int) -> tuple[Architecture, ...]:
    rng = np.random.default_rng(3)
    return tuple(sample_architecture(rng, 3) for _ in range(number))


@pytest.mark.parametrize(
    "macro",
    [
        dataclasses.replace(TINY, uniform_inputs=True),
        dataclasses.replace(TINY, uniform_inputs=False),
        IMAGENET,
        SKIPPING,
    ],
    ids=["uniform", "released", "imagenet", "skipping"],
)
def test_parameters_are_those_that_cost_counts(macro):
    for architecture in random_architectures(5):
        net = abstract(architecture, macro)
        counted = cost(architecture, macro)
        assert count(net, nnx.Param) == counted.params
        assert count(net, nnx.BatchStat) == counted.statistics


def test_nasnet_a_6_at_768():
    """3.3 M parameters in the paper."""
    net = abstract(NASNET_A, CIFAR)
    assert count(net, nnx.Param) == 3_346_538
    assert count(net, nnx.BatchStat) == 37_248


def test_parts_cost_what_the_rows_say():
    architecture = random_architectures(1)[0]
    net = abstract(architecture, TINY)
    rows = cost(architecture, TINY).rows
    parts = [net.stem, *net.cells, net.head]
    assert [count(part, nnx.Param) for part in parts] == [row.params for row in rows]


@pytest.mark.parametrize(
    "macro",
    [TINY, dataclasses.replace(TINY, uniform_inputs=True), IMAGENET, SKIPPING],
    ids=["released", "uniform", "imagenet", "skipping"],
)
def test_feature_maps_have_the_sizes_of_the_skeleton(macro):
    """Odd sides halve upwards, and widths are F times the number of output states."""
    images = jax.ShapeDtypeStruct((2, *macro.image_height_width, 3), jnp.float32)
    for architecture in random_architectures(2):

        def run(images, architecture=architecture):
            config = LayerConfig(track_statistics=False)
            net = NASNet(architecture, macro, config=config, rngs=nnx.Rngs(0))
            return net.feature_maps(images), net(images)

        maps, logits = jax.eval_shape(run, images)
        outputs = {
            "normal": len(architecture.normal.outputs),
            "reduction": len(architecture.reduction.outputs),
        }
        assert [found.shape for found in maps] == [
            (2, *place.output_size, place.filters * outputs[place.kind]) for place in macro.cells
        ]
        assert logits.shape == (2, macro.num_classes)


def test_feature_maps_of_nasnet_a():
    """The sizes of the paper's CIFAR networks, at one cell a stage."""
    macro = dataclasses.replace(CIFAR, num_cells=1)

    def run(images):
        net = NASNet(NASNET_A, macro, config=LayerConfig(), rngs=nnx.Rngs(0))
        return net.feature_maps(images)

    maps = jax.eval_shape(run, jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    expected = [(32, 32, 192), (16, 16, 256), (16, 16, 384), (8, 8, 512), (8, 8, 768)]
    assert [found.shape[1:] for found in maps] == expected


def test_without_a_head_the_pooled_features_come_out():
    cell = Cell((Block(0, 1, "identity", "conv_1x1"),))
    macro = dataclasses.replace(TINY, num_cells=1, num_reductions=0, num_classes=None)
    net = NASNet(Architecture(cell, cell), macro, config=LayerConfig(), rngs=nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 9, 14, 3)), jnp.float32)
    expected = np.maximum(net.feature_maps(images)[-1], 0).mean((1, 2))
    assert net.head is None
    np.testing.assert_allclose(net(images), expected, rtol=1e-5, atol=1e-6)


def test_bfloat16_keeps_parameters_and_logits_in_float32():
    def run(images):
        config = LayerConfig(dtype=jnp.bfloat16)
        net = NASNet(random_architectures(1)[0], TINY, config=config, rngs=nnx.Rngs(0))
        return net.feature_maps(images), net(images), nnx.state(net)

    images = jax.ShapeDtypeStruct((2, 9, 14, 3), jnp.float32)
    maps, logits, state = jax.eval_shape(run, images)
    assert {found.dtype for found in maps} == {jnp.dtype(jnp.bfloat16)}
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(jnp.float32)}
