"""The supernet and the static network are the same function: what is searched is what is deployed."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.extraction import extract_network
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.nn.supernet import Supernet, architecture_arrays
from nasnet_jax.space import (
    NAMED,
    NASNET_A,
    OPERATIONS,
    Architecture,
    Macro,
    cost,
    sample_architecture,
)

CONFIG = LayerConfig(track_statistics=False)
IMAGES = np.random.default_rng(0).normal(size=(3, 6, 6, 1))
WEIGHTS = np.random.default_rng(1).normal(size=(3, 4))


def make_supernet(num_cells: int, *, batch_last: bool = False) -> Supernet:
    macro = Macro(
        num_cells=num_cells,
        num_filters=3,
        num_classes=4,
        image_size=6,
        image_channels=1,
        num_reductions=1,
        uniform_inputs=True,
    )
    return Supernet(macro, 5, dataclasses.replace(CONFIG, batch_last=batch_last))


# One cell a stage for the many, since the static networks are not compiled and pay for every cell;
# two for the few, to which the supernet's loop over equal cells belongs.
SUPERNET, DEEP_SUPERNET = make_supernet(1), make_supernet(2, batch_last=True)


def loss(logits: jax.Array) -> jax.Array:
    """A linear function of the logits, so that its gradient is the network's own."""
    return jnp.sum(logits * WEIGHTS.astype(logits.dtype))


@functools.partial(jax.jit, static_argnums=0)
def initial(supernet, arrays):
    return supernet.init(jax.random.key(0), arrays)


@functools.partial(jax.jit, static_argnums=0)
def supernet_gradient(supernet, parameters, arrays, images):
    def value(parameters):
        logits = supernet(parameters, arrays, images)
        return loss(logits), logits

    (_, logits), gradient = jax.value_and_grad(value, has_aux=True)(parameters)
    return logits, gradient


def static_gradient(supernet, architecture, parameters, images):
    graph, state = nnx.split(extract_network(supernet, architecture, parameters))

    def value(state):
        logits = nnx.merge(graph, state)(images)
        return loss(logits), logits

    (_, logits), gradient = jax.value_and_grad(value, has_aux=True)(state)
    return logits, gradient


def architectures(count: int) -> list[Architecture]:
    # With this seed 50 of them cover the space, which `test_sample_covers_the_space` checks.
    rng = np.random.default_rng(3)
    return [NASNET_A, *(sample_architecture(rng, 5) for _ in range(count - 1))]


def assert_equal_networks(
    supernet: Supernet, architecture: Architecture, dtype: type, tolerance: float
) -> None:
    arrays = jax.tree.map(jnp.asarray, architecture_arrays(architecture))
    # Scales and offsets away from 1 and 0, or some gradients vanish.
    noise = np.random.default_rng(2)
    # Of NumPy, so that taking them apart compiles nothing.
    parameters = jax.tree.map(
        lambda x: np.asarray(x + 0.1 * noise.normal(size=x.shape), dtype),
        initial(supernet, arrays),
    )
    images = jnp.asarray(IMAGES, dtype)
    logits, gradient = supernet_gradient(supernet, parameters, arrays, images)
    expected, wanted_gradient = static_gradient(supernet, architecture, parameters, images)
    assert_close(logits, expected, tolerance)
    gradient = jax.device_get(gradient)
    found = jax.tree.leaves(nnx.state(extract_network(supernet, architecture, gradient)))
    wanted = jax.tree.leaves(wanted_gradient)
    scale = max(float(jnp.abs(x).max()) for x in wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)
    # What is not the static network's has no gradient.
    assert sum(map(np.count_nonzero, jax.tree.leaves(gradient))) == sum(
        map(np.count_nonzero, found)
    )


def assert_close(one: jax.Array, other: jax.Array, tolerance: float) -> None:
    scale = float(jnp.abs(other).max())
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


def test_sample_covers_the_space() -> None:
    """Every operation at both strides, both combiners and unused inputs are among the 50."""
    seen: set = set()
    for architecture in architectures(50):
        for kind in ("normal", "reduction"):
            cell = getattr(architecture, kind)
            seen |= {("unused", kind, state) for state in cell.outputs if state < 2}
            for block in cell.blocks:
                seen.add((kind, block.combine))
                for state, name in (
                    (block.left_input, block.left_op),
                    (block.right_input, block.right_op),
                ):
                    seen.add((name, 2 if kind == "reduction" and state < 2 else 1))
    wanted = {(name, stride) for name in OPERATIONS for stride in (1, 2)}
    wanted |= {(kind, way) for kind in ("normal", "reduction") for way in ("add", "concat")}
    wanted |= {("unused", kind, state) for kind in ("normal", "reduction") for state in (0, 1)}
    assert wanted <= seen


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("first", "last"), [(0, 10), pytest.param(10, 50, marks=pytest.mark.long)])
def test_equal_to_static_network_in_float64(first: int, last: int) -> None:
    """Those of hand-designed cells, too, which output what they choose."""
    chosen = architectures(last)[first:]
    if first == 0:
        chosen[-2:] = NAMED["resnet"], NAMED["densenet"]
    with jax.enable_x64(True):
        for architecture in chosen:
            assert_equal_networks(SUPERNET, architecture, np.float64, 1e-9)


def test_equal_to_static_network_in_float32() -> None:
    """With a loop over cells, and in the order that TPUs get."""
    for architecture in architectures(3):
        assert_equal_networks(DEEP_SUPERNET, architecture, np.float32, 2e-3)


def test_cost_is_that_of_the_static_network() -> None:
    for architecture in architectures(20):
        net = nnx.eval_shape(
            lambda a=architecture: NASNet(a, SUPERNET.macro, config=LayerConfig(), rngs=nnx.Rngs(0))
        )
        counted = cost(architecture, SUPERNET.macro)
        assert counted.params == sum(x.size for x in jax.tree.leaves(nnx.state(net, nnx.Param)))
        statistics = jax.tree.leaves(nnx.state(net, nnx.BatchStat))
        assert counted.statistics == sum(x.size for x in statistics)


def test_decay_reaches_kernels_in_use_only() -> None:
    arrays = jax.tree.map(jnp.asarray, architecture_arrays(NASNET_A))
    mask = SUPERNET.kernels(arrays)
    # One normal cell; a reduction cell with a normal one behind it.
    for stage, cells in ((0, "n"), (1, "rn")):
        slots = mask[f"stage_{stage}"]["blocks"].slots
        for place, kind in zip(slots, cells, strict=True):
            cell = NASNET_A.reduction if kind == "r" else NASNET_A.normal
            for index, block in enumerate(cell.blocks):
                held = OPERATIONS.index(block.left_op)
                held += len(OPERATIONS) * (kind == "r" and block.left_input < 2)
                layers = SUPERNET.tape(stage).table.packings[held]
                kernels = sum(layer.kernel_rows for layer in layers)
                assert place[index, 0].sum() == kernels * SUPERNET.tape(stage).features
