"""Several children in one program: each is its architecture's static network, as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.space import NASNET_A, Architecture, Macro, sample_architecture
from nasnet_jax.supernet import Launch, Parameters, Room, Supernet, extract_network, places_alone

MACRO = Macro(
    num_cells=2,
    num_filters=3,
    num_classes=4,
    image_size=6,
    image_channels=1,
    num_reductions=1,
    uniform_inputs=True,
)
SUPERNET = Supernet(MACRO, 5, LayerConfig(track_statistics=False), Room(children=4, chunk=3))
SOLO = Supernet(MACRO, 5, LayerConfig(track_statistics=False))
IMAGES = np.random.default_rng(0).normal(size=(3, 6, 6, 1))
WEIGHTS = np.random.default_rng(1).normal(size=(3, 4))


class Found(NamedTuple):
    """Of the children of a launch: `logits` `[children, batch, classes]`, and the gradient of `loss`."""

    launch: Launch
    parameters: Parameters
    logits: np.ndarray
    gradient: Parameters


@pytest.fixture(scope="module", autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def architectures() -> list[Architecture]:
    rng = np.random.default_rng(3)
    return [NASNET_A, *(sample_architecture(rng, 5) for _ in range(3))]


@jax.jit
def logits_and_gradient(parameters: Parameters, tapes: Any) -> tuple[jax.Array, Parameters]:
    def loss(parameters: Parameters) -> tuple[jax.Array, jax.Array]:
        logits = SUPERNET(parameters, tapes, jnp.asarray(IMAGES))
        # Linear, so that its gradient is the network's own; NaN of one child stays its own.
        return jnp.sum(logits * WEIGHTS), logits

    gradient, logits = jax.grad(loss, has_aux=True)(parameters)
    return logits, gradient


def weights(seed: int) -> Parameters:
    """Of a child alone: scales and offsets away from 1 and 0, or some gradients vanish."""
    noise = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: noise.normal(0.2, 0.4, leaf.shape), SOLO.shapes)


def run(architectures: Sequence[Architecture], of_children: Sequence[Parameters]) -> Found:
    """Trains nothing: logits and gradients of these children with these weights, in this order."""
    launch = SUPERNET.launch(architectures)
    parameters = jax.tree.map(lambda leaf: np.zeros(leaf.shape), SUPERNET.shapes)
    for child, (architecture, own) in enumerate(zip(architectures, of_children, strict=True)):
        parameters.fixed[child] = own.fixed[0]
        places = places_alone(SOLO, architecture, launch, child)
        for there, here, numbers in zip(
            *map(jax.tree.leaves, (parameters.stages, own.stages, places)), strict=True
        ):
            there[numbers[numbers >= 0]] = here[numbers >= 0]
    logits, gradient = jax.device_get(logits_and_gradient(parameters, launch.tapes))
    return Found(launch, parameters, logits, gradient)


def gradient_of(found: Found, architecture: Architecture, child: int) -> list[np.ndarray]:
    network = extract_network(SUPERNET, architecture, found.gradient, found.launch, child)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(network))]


@pytest.fixture(scope="module")
def together(architectures: list[Architecture]) -> Found:
    return run(architectures, [weights(seed) for seed in range(4)])


def test_children_are_static_networks(together: Found, architectures: list[Architecture]) -> None:
    for child, architecture in enumerate(architectures):
        graph, state = nnx.split(
            extract_network(SUPERNET, architecture, together.parameters, together.launch, child)
        )

        def loss(state: nnx.State, graph: Any = graph) -> tuple[jax.Array, jax.Array]:
            logits = nnx.merge(graph, state)(jnp.asarray(IMAGES))
            return jnp.sum(logits * WEIGHTS), logits

        expected, logits = jax.grad(loss, has_aux=True)(state)
        np.testing.assert_allclose(together.logits[child], logits, rtol=1e-9, atol=1e-9)
        wanted = jax.tree.leaves(expected)
        scale = max(float(jnp.abs(leaf).max()) for leaf in wanted)
        for one, other in zip(gradient_of(together, architecture, child), wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize("order", [(3, 1, 0, 2), (2, 2, 1), (1,)])
def test_neither_place_nor_neighbours_change_a_bit(
    together: Found, architectures: list[Architecture], order: tuple[int, ...]
) -> None:
    found = run([architectures[i] for i in order], [weights(i) for i in order])
    for child, i in enumerate(order):
        np.testing.assert_array_equal(found.logits[child], together.logits[i])
        pairs = (
            gradient_of(found, architectures[i], child),
            gradient_of(together, architectures[i], i),
        )
        for one, other in zip(*pairs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_child_that_is_not_finite_harms_no_other(
    together: Found, architectures: list[Architecture]
) -> None:
    spoilt = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), weights(1))
    found = run(architectures, [spoilt if i == 1 else weights(i) for i in range(4)])
    assert np.isnan(found.logits[1]).all()
    for child in (0, 2, 3):
        np.testing.assert_array_equal(found.logits[child], together.logits[child])
        pairs = (gradient_of(one, architectures[child], child) for one in (found, together))
        for one, other in zip(*pairs, strict=True):
            np.testing.assert_array_equal(one, other)
