"""Children of a supernet beside the static networks of their architectures."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.space import NASNET_A, Architecture, Macro, sample_architecture
from nasnet_jax.supernet import Launch, Params, Room, Supernet, extract_network, places_alone

IMAGES = np.random.default_rng(0).normal(size=(3, 6, 6, 1))
WEIGHTS = np.random.default_rng(1).normal(size=(3, 4))
ONE = Room()


def make_supernet(num_cells: int, room: Room = ONE, *, batch_last: bool = False) -> Supernet:
    macro = Macro(
        num_cells=num_cells,
        num_filters=3,
        num_classes=4,
        image_size=6,
        image_channels=1,
        num_reductions=1,
        uniform_inputs=True,
    )
    config = LayerConfig(track_statistics=False, batch_last=batch_last)
    return Supernet(macro, 5, config, room)


def sampled(count: int) -> list[Architecture]:
    # With this seed 50 of them cover the space, which `test_sample_covers_the_space` checks.
    rng = np.random.default_rng(3)
    return [NASNET_A, *(sample_architecture(rng, 5) for _ in range(count - 1))]


class Found(NamedTuple):
    """Of a launch's children: `logits` `[children, batch, classes]`, and the gradient of their sum."""

    supernet: Supernet
    launch: Launch
    params: Params
    logits: np.ndarray
    grads: Params


def weights(supernet: Supernet, seed: int, dtype: type = np.float64) -> Params:
    """Of a child alone: scales and offsets away from 1 and 0, or some gradients vanish."""
    noise = np.random.default_rng(seed)
    shapes = dataclasses.replace(supernet, room=Room()).shapes
    return jax.tree.map(lambda leaf: noise.normal(0.2, 0.4, leaf.shape).astype(dtype), shapes)


def run(
    supernet: Supernet, architectures: Sequence[Architecture], of_children: Sequence[Params]
) -> Found:
    """Logits and gradients of these children with these weights, in this order."""
    solo = dataclasses.replace(supernet, room=Room())
    launch = supernet.launch(architectures)
    dtype = of_children[0].fixed.dtype
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, dtype), supernet.shapes)
    for child, (architecture, own) in enumerate(zip(architectures, of_children, strict=True)):
        params.fixed[child] = own.fixed[0]
        places = places_alone(solo, architecture, launch, child)
        for there, here, numbers in zip(
            *map(jax.tree.leaves, (params.stages, own.stages, places)), strict=True
        ):
            there[numbers[numbers >= 0]] = here[numbers >= 0]
    logits, grads = jax.device_get(_gradient(supernet, params, launch.tapes))
    return Found(supernet, launch, params, logits, grads)


@functools.partial(jax.jit, static_argnums=0)
def _gradient(supernet: Supernet, params: Params, tapes: Any) -> tuple[jax.Array, Params]:
    def loss(params: Params) -> tuple[jax.Array, jax.Array]:
        images = jnp.asarray(IMAGES, params.fixed.dtype)
        rows = supernet.rows(len(images), images.dtype)
        logits, _ = supernet(params, tapes, images, rows)
        # Linear, so that its gradient is the network's own; NaN of one child stays its own.
        return jnp.sum(logits * WEIGHTS.astype(logits.dtype)), logits

    grads, logits = jax.grad(loss, has_aux=True)(params)
    return logits, grads


def gradient_of(found: Found, architecture: Architecture, child: int) -> list[np.ndarray]:
    """As that of the static network's parameters."""
    network = extract_network(found.supernet, architecture, found.grads, found.launch, child)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(network))]


def assert_static_network(
    found: Found, architecture: Architecture, child: int, tolerance: float
) -> None:
    """A child has the logits and the gradient of its architecture's static network."""
    graph, state = nnx.split(
        extract_network(found.supernet, architecture, found.params, found.launch, child)
    )

    def loss(state: nnx.State) -> tuple[jax.Array, jax.Array]:
        logits = nnx.merge(graph, state)(jnp.asarray(IMAGES, found.logits.dtype))
        return jnp.sum(logits * WEIGHTS.astype(logits.dtype)), logits

    expected, logits = jax.grad(loss, has_aux=True)(state)
    scale = float(jnp.abs(logits).max())
    np.testing.assert_allclose(found.logits[child], logits, rtol=tolerance, atol=tolerance * scale)
    wanted = jax.tree.leaves(expected)
    scale = max(float(jnp.abs(leaf).max()) for leaf in wanted)
    for one, other in zip(gradient_of(found, architecture, child), wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)
