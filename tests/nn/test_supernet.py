"""The supernet and the static network are the same function: what is searched is what is deployed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.nn.supernet import Supernet, architecture_arrays
from nasnet_jax.space import NASNET_A, OPERATIONS, Architecture, Macro, cost, sample_architecture

MACRO = Macro(
    num_cells=2,
    num_filters=3,
    num_classes=4,
    image_size=6,
    image_channels=1,
    num_reductions=1,
    uniform_inputs=True,
)
CONFIG = LayerConfig(track_statistics=False)
SUPERNET = Supernet(MACRO, 5, CONFIG)
IMAGES = np.random.default_rng(0).normal(size=(3, 6, 6, 1))
WEIGHTS = np.random.default_rng(1).normal(size=(3, 4))


def loss(logits: jax.Array) -> jax.Array:
    """A linear function of the logits, so that its gradient is the network's own."""
    return jnp.sum(logits * WEIGHTS.astype(logits.dtype))


@jax.jit
def initial(arrays):
    return SUPERNET.init(jax.random.key(0), arrays)


@jax.jit
def supernet_gradient(parameters, arrays, images):
    def value(parameters):
        logits = SUPERNET(parameters, arrays, images)
        return loss(logits), logits

    (_, logits), gradient = jax.value_and_grad(value, has_aux=True)(parameters)
    return logits, gradient


def abstract_static(architecture: Architecture) -> NASNet:
    return nnx.eval_shape(lambda: NASNet(architecture, MACRO, config=CONFIG, rngs=nnx.Rngs(0)))


def to_static(tree: dict, architecture: Architecture) -> nnx.State:
    """Parameters, or a gradient, of the supernet in the places of the static network's own."""
    static = abstract_static(architecture)
    supernet_cells = []
    for stage in range(MACRO.num_reductions + 1):
        weights = tree[f"stage_{stage}"]
        if stage > 0:
            reduction = tree[f"reduction_{stage}"]
            supernet_cells.append((stage, True, reduction["inputs"], reduction["blocks"]))
        for cell in range(MACRO.num_cells):
            pick = lambda x, i: jax.tree.map(lambda leaf: leaf[i], x)  # noqa: E731
            inputs = (
                weights["first"]
                if cell == 0
                else [pick(state, cell - 1) for state in weights["next"]]
            )
            supernet_cells.append((stage, False, inputs, pick(weights["blocks"], cell)))
    nnx.update(static.stem, tree["stem"])
    for place, module, (stage, is_reduction, inputs, blocks) in zip(
        MACRO.cells, static.cells, supernet_cells, strict=True
    ):
        searched = architecture.reduction if is_reduction else architecture.normal
        tape = SUPERNET.tape(stage, reduction=is_reduction)
        sources = (place.current, place.previous)
        for target, state, source in zip(
            (module.input_0, module.input_1), inputs, sources, strict=True
        ):
            nnx.update(target, kept_rows(state, architecture, source))
        for index, (block, target) in enumerate(zip(searched.blocks, module.blocks, strict=True)):
            halves = (
                (target.left, block.left_op, block.left_input),
                (target.right, block.right_op, block.right_input),
            )
            for half, (operation, name, state) in enumerate(halves):
                branch = OPERATIONS.index(name) + len(OPERATIONS) * (is_reduction and state < 2)
                packing = tape.packings[branch]
                nnx.update(operation, packing.unpack(blocks.slots[index, half]))
            if target.projection is not None:
                nnx.update(target.projection, tape.projection.unpack(blocks.projections[index]))
        if is_reduction:
            for number, adapter in enumerate((module.output_0, module.output_1)):
                if adapter is not None:
                    state = tree[f"reduction_{stage}"]["unused"]
                    nnx.update(adapter, jax.tree.map(lambda x, n=number: x[n], state))
    kernel = kept_rows(tree["head"], architecture, len(MACRO.cells) - 1)
    nnx.update(static.head, kernel)
    return nnx.state(static)


def kept_rows(state: nnx.State, architecture: Architecture, source: int) -> nnx.State:
    """The rows of every kernel that read states which the source's output concatenates."""

    def keep(leaf):
        if leaf.ndim < 2:
            return leaf
        if source == -1:
            return leaf[..., : MACRO.stem_filters, :]
        place = MACRO.cells[source]
        cell = architecture.normal if place.kind == "normal" else architecture.reduction
        rows = [s * place.filters + np.arange(place.filters) for s in cell.outputs]
        return leaf[..., np.concatenate(rows), :]

    return jax.tree.map(keep, state)


def static_gradient(state: nnx.State, architecture: Architecture, images: jax.Array):
    graphdef = nnx.graphdef(abstract_static(architecture))

    def value(state):
        logits = nnx.merge(graphdef, state)(images)
        return loss(logits), logits

    (_, logits), gradient = jax.value_and_grad(value, has_aux=True)(state)
    return logits, gradient


def architectures(count: int) -> list[Architecture]:
    # With this seed 50 of them cover the space, which `test_sample_covers_the_space` checks.
    rng = np.random.default_rng(3)
    return [NASNET_A, *(sample_architecture(rng, 5) for _ in range(count - 1))]


def assert_equal_networks(architecture: Architecture, dtype: type, tolerance: float) -> None:
    arrays = jax.tree.map(jnp.asarray, architecture_arrays(architecture))
    # Scales and offsets away from 1 and 0, or some gradients vanish.
    noise = np.random.default_rng(2)
    parameters = jax.tree.map(
        lambda x: jnp.asarray(x + 0.1 * noise.normal(size=x.shape), dtype),
        initial(arrays),
    )
    images = jnp.asarray(IMAGES, dtype)
    logits, gradient = supernet_gradient(parameters, arrays, images)
    expected, expected_gradient = static_gradient(
        to_static(parameters, architecture), architecture, images
    )
    assert_close(logits, expected, tolerance)
    found = jax.tree.leaves(to_static(gradient, architecture))
    wanted = jax.tree.leaves(expected_gradient)
    scale = max(float(jnp.abs(x).max()) for x in wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


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
def test_equal_to_static_network_in_float64() -> None:
    with jax.enable_x64(True):
        for architecture in architectures(50):
            assert_equal_networks(architecture, np.float64, 1e-9)


def test_equal_to_static_network_in_float32() -> None:
    for architecture in architectures(3):
        assert_equal_networks(architecture, np.float32, 2e-3)


def test_cost_is_that_of_the_static_network() -> None:
    for architecture in architectures(20):
        net = nnx.eval_shape(
            lambda a=architecture: NASNet(a, MACRO, config=LayerConfig(), rngs=nnx.Rngs(0))
        )
        counted = cost(architecture, MACRO)
        assert counted.params == sum(x.size for x in jax.tree.leaves(nnx.state(net, nnx.Param)))
        statistics = jax.tree.leaves(nnx.state(net, nnx.BatchStat))
        assert counted.statistics == sum(x.size for x in statistics)


def test_decay_reaches_kernels_in_use_only() -> None:
    arrays = jax.tree.map(jnp.asarray, architecture_arrays(NASNET_A))
    parameters = SUPERNET.init(jax.random.key(0), arrays)
    mask = SUPERNET.kernels(parameters, arrays)
    for stage, reduction in ((0, False), (1, True)):
        tape = SUPERNET.tape(stage, reduction=reduction)
        part = mask[f"reduction_{stage}" if reduction else f"stage_{stage}"]["blocks"].slots
        slots = part if reduction else part[0]
        cell = NASNET_A.reduction if reduction else NASNET_A.normal
        for index, block in enumerate(cell.blocks):
            branch = OPERATIONS.index(block.left_op)
            branch += len(OPERATIONS) * (reduction and block.left_input < 2)
            assert slots[index, 0].sum() == tape.packings[branch].kernel_size
