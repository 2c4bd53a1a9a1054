"""Several children in one program: each is its architecture's static network, as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
import pytest
from children import (
    Found,
    assert_static_network,
    gradient_of,
    make_supernet,
    run,
    sampled,
    weights,
)

from nasnet_jax.space import OPERATIONS, Architecture
from nasnet_jax.supernet import Room

SUPERNET = make_supernet(2, Room(children=4, chunk=3))
# One cell a stage for the many, since the static networks are not compiled and pay for every cell.
ALONE, MANY = make_supernet(1), make_supernet(1, Room(children=50, chunk=12))


@pytest.fixture(scope="module", autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def architectures() -> list[Architecture]:
    return sampled(4)


@pytest.fixture(scope="module")
def together(architectures: list[Architecture]) -> Found:
    return run(SUPERNET, architectures, [weights(SUPERNET, seed) for seed in range(4)])


def test_sample_covers_the_space() -> None:
    """Every operation at both strides, both combiners and unused inputs are among the 50."""
    seen: set = set()
    for architecture in sampled(50):
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


def test_children_are_static_networks(together: Found, architectures: list[Architecture]) -> None:
    for child, architecture in enumerate(architectures):
        assert_static_network(together, architecture, child, 1e-9)


def test_a_child_alone_is_its_static_network() -> None:
    for seed, architecture in enumerate(sampled(10)[4:]):
        found = run(ALONE, [architecture], [weights(ALONE, seed)])
        assert_static_network(found, architecture, 0, 1e-9)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_children_are_static_networks() -> None:
    architectures = sampled(50)
    found = run(MANY, architectures, [weights(MANY, seed) for seed in range(50)])
    for child, architecture in enumerate(architectures):
        assert_static_network(found, architecture, child, 1e-9)


def test_a_child_in_the_order_of_tpus_is_its_static_network() -> None:
    supernet = make_supernet(2, batch_last=True)
    for seed, architecture in enumerate(sampled(2)):
        found = run(supernet, [architecture], [weights(supernet, seed, np.float32)])
        assert_static_network(found, architecture, 0, 2e-3)


@pytest.mark.parametrize("order", [(3, 1, 0, 2), (2, 2, 1), (1,)])
def test_neither_place_nor_neighbours_change_a_bit(
    together: Found, architectures: list[Architecture], order: tuple[int, ...]
) -> None:
    own = [weights(SUPERNET, i) for i in order]
    found = run(SUPERNET, [architectures[i] for i in order], own)
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
    own = [weights(SUPERNET, i) for i in range(4)]
    own[1] = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), own[1])
    found = run(SUPERNET, architectures, own)
    assert np.isnan(found.logits[1]).all()
    for child in (0, 2, 3):
        np.testing.assert_array_equal(found.logits[child], together.logits[child])
        pairs = (gradient_of(one, architectures[child], child) for one in (found, together))
        for one, other in zip(*pairs, strict=True):
            np.testing.assert_array_equal(one, other)
