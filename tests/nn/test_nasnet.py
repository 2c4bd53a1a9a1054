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
MOBILE = Macro(
    num_cells=4,
    num_filters=44,
    num_classes=1000,
    image_size=224,
    stem="imagenet",
    stem_multiplier=1.0,
)
LARGE = dataclasses.replace(
    MOBILE,
    num_cells=6,
    num_filters=168,
    image_size=331,
    stem_multiplier=3.0,
    skip_reduction_layer_input=True,
)
SMALL = Macro(num_cells=1, num_filters=4, num_classes=3, image_size=8, num_reductions=1)
ONE = dataclasses.replace(SMALL, num_reductions=0)
ONE_CELL = Cell((Block(0, 1, "conv_1x1", "identity"),))
ONE_BLOCK = Architecture(ONE_CELL, ONE_CELL)
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), jnp.float32)
NO_DROP = {"key": jax.random.key(0), "drop_prob": 0.0, "scale_by_depth": False}


def small(macro: Macro = SMALL, *, dtype: jnp.dtype | None = None, **settings) -> NASNet:
    """A network of one block a cell, which runs quickly without `jit`."""
    config = LayerConfig(dtype=dtype)
    return NASNet(ONE_BLOCK, macro, config=config, rngs=nnx.Rngs(0), **settings)


def abstract(architecture: Architecture, macro: Macro, **settings) -> NASNet:
    """The network with shapes in place of arrays."""
    return nnx.eval_shape(
        lambda: NASNet(architecture, macro, config=LayerConfig(), rngs=nnx.Rngs(0), **settings)
    )


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


@pytest.mark.parametrize(
    ("macro", "trainable", "statistics", "aux_head"),
    [
        (CIFAR, 3_346_538, 37_248, 1_631_498),
        (MOBILE, 5_289_978, 36_738, 2_411_240),
        (LARGE, 88_753_150, 196_668, 4_567_784),
    ],
    ids=["cifar", "mobile", "large"],
)
def test_parameters_of_the_published_networks(macro, trainable, statistics, aux_head):
    """3.3 M, 5.3 M and 88.9 M in the paper, without the auxiliary head."""
    net = abstract(NASNET_A, macro, aux_head=True)
    assert count(net.aux_head, nnx.Param) == aux_head
    aux_statistics = count(net.aux_head, nnx.BatchStat)
    assert aux_statistics == 2 * (128 + 768)
    assert count(net, nnx.Param) - aux_head == trainable
    assert count(net, nnx.BatchStat) - aux_statistics == statistics


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


def end_point_shapes(macro: Macro) -> dict[str, tuple[int, ...]]:
    def run(images):
        net = NASNet(NASNET_A, macro, config=LayerConfig(), rngs=nnx.Rngs(0))
        return net.end_points(images)

    images = jax.ShapeDtypeStruct((1, *macro.image_height_width, 3), jnp.float32)
    return {name: point.shape[1:] for name, point in jax.eval_shape(run, images).items()}


def test_end_points_of_cifar():
    """The shapes of slim's `nasnet_test.py`, at one cell a stage."""
    assert end_point_shapes(dataclasses.replace(CIFAR, num_cells=1)) == {
        "Stem": (32, 32, 96),
        "Cell_0": (32, 32, 192),
        "Reduction_Cell_0": (16, 16, 256),
        "Cell_1": (16, 16, 384),
        "Reduction_Cell_1": (8, 8, 512),
        "Cell_2": (8, 8, 768),
        "Global_Pool": (768,),
        "Logits": (10,),
        "Predictions": (10,),
    }


def test_end_points_of_large():
    """The same of its Large network, whose sides are 165, 83, 42, 21 and 11."""
    assert end_point_shapes(dataclasses.replace(LARGE, num_cells=1)) == {
        "Stem": (42, 42, 336),
        "Cell_0": (42, 42, 1008),
        "Reduction_Cell_0": (21, 21, 1344),
        "Cell_1": (21, 21, 2016),
        "Reduction_Cell_1": (11, 11, 2688),
        "Cell_2": (11, 11, 4032),
        "Global_Pool": (4032,),
        "Logits": (1000,),
        "Predictions": (1000,),
    }


def test_end_points_hold_the_maps_and_the_outputs():
    net = small()
    points = net.end_points(IMAGES)
    maps, stages = net.feature_maps(IMAGES), net.stage_maps(IMAGES)
    assert [*points] == [
        "Stem",
        "Cell_0",
        "Reduction_Cell_0",
        "Cell_1",
        "Global_Pool",
        "Logits",
        "Predictions",
    ]
    for name, found in zip(("Cell_0", "Reduction_Cell_0", "Cell_1"), maps, strict=True):
        np.testing.assert_array_equal(points[name], found)
    np.testing.assert_array_equal(stages[0], maps[0])
    np.testing.assert_array_equal(stages[1], maps[2])
    np.testing.assert_array_equal(points["Global_Pool"], net.features(IMAGES))
    np.testing.assert_array_equal(points["Logits"], net(IMAGES))
    np.testing.assert_allclose(points["Predictions"].sum(-1), np.ones(4), rtol=1e-6)


def test_without_a_head_the_pooled_features_come_out():
    cell = Cell((Block(0, 1, "identity", "conv_1x1"),))
    macro = dataclasses.replace(TINY, num_cells=1, num_reductions=0, num_classes=None)
    net = NASNet(Architecture(cell, cell), macro, config=LayerConfig(), rngs=nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 9, 14, 3)), jnp.float32)
    expected = np.maximum(net.feature_maps(images)[-1], 0).mean((1, 2))
    assert net.head is None
    np.testing.assert_allclose(net(images), expected, rtol=1e-5, atol=1e-6)


def test_training_without_anything_random_is_the_network():
    net = small(aux_head=True)
    logits, auxiliary = net.training_logits(IMAGES, **NO_DROP)
    np.testing.assert_array_equal(logits, net(IMAGES))
    np.testing.assert_array_equal(auxiliary, net.aux_head(net.feature_maps(IMAGES)[0]))
    assert small().training_logits(IMAGES, **NO_DROP)[1] is None


def test_dropout_is_on_the_features_alone():
    rate = 0.25
    net = small(dataclasses.replace(ONE, num_classes=None, num_filters=64), dropout_rate=rate)
    features = np.asarray(net.features(IMAGES))
    dropped, _ = net.training_logits(IMAGES, **NO_DROP)
    stays = np.asarray(dropped) != 0
    np.testing.assert_allclose(dropped, np.where(stays, features / (1 - rate), 0), rtol=1e-5)
    deviation = np.sqrt(rate * (1 - rate) / stays.size)
    assert abs(stays.mean() - (1 - rate)) < 4 * deviation
    again, _ = net.training_logits(IMAGES, **NO_DROP)
    np.testing.assert_array_equal(again, dropped)
    other, _ = net.training_logits(IMAGES, **NO_DROP | {"key": jax.random.key(1)})
    assert ((np.asarray(other) != 0) != stays).any()


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_dropout_rate_out_of_range_is_an_error(rate):
    with pytest.raises(ValueError, match="dropout_rate is at least 0 and below 1"):
        small(dropout_rate=rate)


def test_the_auxiliary_head_lies_under_one_attribute():
    """What is left without it is the network that was made without it, value by value."""
    with_head, without = nnx.state(small(aux_head=True)), nnx.state(small())
    del with_head["aux_head"]
    assert jax.tree.structure(with_head) == jax.tree.structure(without)
    for found, expected in zip(jax.tree.leaves(with_head), jax.tree.leaves(without), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "change", [{"num_reductions": 0}, {"num_classes": None}, {"image_size": 4}]
)
def test_where_there_can_be_no_auxiliary_head(change):
    with pytest.raises(ValueError, match="An auxiliary head needs num_classes, a reduction cell"):
        small(dataclasses.replace(SMALL, **change), aux_head=True)


def test_rematerialization_changes_nothing():
    """Logits, gradients and running statistics are those of the network that keeps everything."""

    def run(remat: bool):
        graph, parameters, statistics = nnx.split(small(ONE, remat=remat), nnx.Param, nnx.BatchStat)

        def loss(parameters):
            net = nnx.merge(graph, parameters, statistics, copy=True)
            logits, _ = net.training_logits(
                IMAGES, key=jax.random.key(0), drop_prob=jnp.float32(0.5), scale_by_depth=True
            )
            return jnp.square(logits).sum(), nnx.state(net, nnx.BatchStat)

        return jax.jit(jax.value_and_grad(loss, has_aux=True))

    parameters = nnx.state(small(ONE), nnx.Param)
    kept, again = (run(remat)(parameters) for remat in (False, True))
    assert "remat" in str(jax.make_jaxpr(run(True))(parameters))
    for found, expected in zip(jax.tree.leaves(again), jax.tree.leaves(kept), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_roughly_float32():
    found, expected = small(dtype=jnp.bfloat16)(IMAGES), small()(IMAGES)
    assert found.dtype == jnp.float32
    assert 0 < float(jnp.abs(found - expected).max()) < 0.03 * float(jnp.abs(expected).max())


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


def test_compiled_gradient_finds_the_maxima_of_pooling() -> None:
    """XLA may compute a state anew, with other rounding, where the gradient of its maxima reads it."""
    cell = "conv_1x1(1)+max_pool_5x5(1)"
    architecture = Architecture.from_one_line(f"normal: {cell}; reduction: {cell}")
    macro = Macro(
        num_cells=1,
        num_filters=3,
        num_classes=4,
        image_size=6,
        image_channels=1,
        num_reductions=0,
        uniform_inputs=True,
    )
    rng = np.random.default_rng(0)
    images, weights = rng.normal(size=(3, 6, 6, 1)), rng.normal(size=(3, 4))
    config = LayerConfig(track_statistics=False)
    graph, state = nnx.split(NASNet(architecture, macro, config=config, rngs=nnx.Rngs(0)))
    state = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype(x.dtype), state)

    def loss(state: nnx.State) -> jax.Array:
        return jnp.sum(nnx.merge(graph, state)(jnp.asarray(images, jnp.float32)) * weights)

    expected, found = jax.grad(loss)(state), jax.jit(jax.grad(loss))(state)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
