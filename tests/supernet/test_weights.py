"""Where a child's weights live: how they start, which of them decay, whose they are."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from children import make_supernet, sampled
from flax import nnx

from nasnet_jax.nn.initial import initial
from nasnet_jax.supernet import Launch, Params, Room, clip_by_child_norm, extract_network

SUPERNET = make_supernet(2, Room(children=3, chunk=2))
ARCHITECTURES = sampled(3)


@pytest.fixture(scope="module")
def launch() -> Launch:
    return SUPERNET.launch(ARCHITECTURES)


@pytest.fixture(scope="module")
def started(launch: Launch) -> Params:
    return jax.device_get(jax.jit(SUPERNET.init)(jax.random.key(0), launch.tapes))


def leaves(params: Params, launch: Launch, child: int) -> dict[str, np.ndarray]:
    """Of the child's static network, by their path."""
    network = extract_network(SUPERNET, ARCHITECTURES[child], params, launch, child)
    state = jax.tree_util.tree_leaves_with_path(nnx.state(network))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in state}


def test_weights_start_as_those_of_the_layers(started: Params, launch: Launch) -> None:
    for child in range(3):
        drawn = []
        for path, leaf in leaves(started, launch, child).items():
            wanted = initial(path, leaf.shape)
            if "kernel" in path:
                drawn.append(leaf.ravel() / wanted.std)
            else:
                np.testing.assert_array_equal(leaf, 1.0 if "scale" in path else 0.0)
        numbers = np.concatenate(drawn)
        assert numbers.std() == pytest.approx(0.88, abs=0.03)
        # A normal distribution cut off at two deviations has 0.88 of its own.
        assert np.abs(numbers).max() <= 2


def test_what_is_nobodys_starts_at_zero(started: Params, launch: Launch) -> None:
    owners = SUPERNET.owners(launch.tapes)
    for weights, whose in zip(started.stages, owners.stages, strict=True):
        assert not weights.kernels[np.asarray(whose.kernels) < 0].any()
        assert weights.kernels[np.asarray(whose.kernels) >= 0].any(axis=1).all()


def test_children_own_their_numbers(launch: Launch) -> None:
    """Each child has as many rows as its static network has numbers on them."""
    owners = jax.device_get(SUPERNET.owners(launch.tapes))
    numbers = jax.tree.map(
        lambda shape, whose: np.broadcast_to(
            whose.reshape(-1, *[1] * (len(shape.shape) - 1)), shape.shape
        ),
        SUPERNET.shapes,
        owners,
    )
    for child in range(3):
        for leaf in leaves(numbers, launch, child).values():
            assert (leaf == child).all()


def test_decay_reaches_kernels_only(launch: Launch) -> None:
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), SUPERNET.shapes)
    mask = SUPERNET.kernels(ones)
    for path, leaf in leaves(mask, launch, 1).items():
        np.testing.assert_array_equal(leaf, 1.0 if "kernel" in path else 0.0)


def test_every_child_is_clipped_by_its_own_norm() -> None:
    grads = [np.array([[3, 4], [0.3, 0.4]], np.float32), np.array([[12], [0], [7]], np.float32)]
    owners = [np.array([0, 1]), np.array([0, 1, -1])]
    clipped = clip_by_child_norm(grads, owners, 1.0)
    np.testing.assert_allclose(clipped[0], [[3 / 13, 4 / 13], [0.3, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(clipped[1][:2], [[12 / 13], [0.0]], rtol=1e-6)
