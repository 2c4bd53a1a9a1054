"""Children to and from the devices: data, launches, and single children of launches."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nasnet_jax.search.child_program import Children
from nasnet_jax.search.child_result import PausedChild
from nasnet_jax.space import Architecture
from nasnet_jax.supernet import Launch, Params, Supernet, places_alone

ALIGNMENT = 64
"""Bytes, of XLA:CPU's buffers."""


def rows_of(array: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """`array[numbers]` for `place`, where the devices of a CPU read it instead of copies of it.

    XLA:CPU takes an array over as it is if its address is a multiple of 64.
    """
    shape, size = (len(numbers), *array.shape[1:]), array[0].nbytes * len(numbers)
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    rows = buffer[start : start + size].view(array.dtype).reshape(shape)
    # NumPy would check the numbers in a copy.
    return np.take(array, numbers, axis=0, out=rows, mode="clip")


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Arrays that every process has whole, onto the devices of all processes."""

    def place_leaf(leaf: Any) -> jax.Array:
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(place_leaf, tree)


def are_parameters(tree: Any) -> bool:
    """Whether a part of a child's state is its parameters, or what an optimizer keeps for each."""
    return isinstance(tree, Params)


class Mover:
    """Takes single children out of launches and puts them into others.

    Only these leave the devices. A child's place is data, so that each direction is compiled once.
    """

    def __init__(self, mesh: Mesh, solo: Supernet) -> None:
        """Compiles nothing.

        Args:
            mesh: Of the launches.
            solo: The supernet with room for one child, in whose form children are taken out.
        """
        self._solo = solo
        self._replicated = NamedSharding(mesh, P())
        by_device = NamedSharding(mesh, P("arch"))
        self._take = jax.jit(_take, out_shardings=self._replicated)
        self._put = jax.jit(_put, out_shardings=by_device, donate_argnums=0)

    def take(
        self, tree: Any, architecture: Architecture, launch: Launch, device: int, child: int
    ) -> Any:
        """What of a launch's parameters, or of a tree of such, is one child's of one device.

        Returns:
            NumPy arrays, in the order of the child alone.
        """
        picked = self._take(tree, *self._place(architecture, launch, device, child))
        return jax.tree.map(np.asarray, picked)

    def put(
        self,
        children: Children,
        paused: PausedChild,
        architecture: Architecture,
        launch: Launch,
        device: int,
        child: int,
    ) -> Children:
        """The children of a launch with one more; the buffers of `children` are used again."""
        where = self._place(architecture, launch, device, child)
        return self._put(children, *where, place(paused, self._replicated))

    def _place(self, architecture: Architecture, launch: Launch, device: int, child: int) -> Any:
        stages = places_alone(self._solo, architecture, launch, child)
        return place((np.int32(device), np.int32(child), stages), self._replicated)


def _take(tree: Any, device: jax.Array, child: jax.Array, stages: Any) -> Any:
    def rows(leaf: jax.Array, numbers: jax.Array) -> jax.Array:
        used = (numbers >= 0).reshape(-1, *[1] * (leaf.ndim - 2))
        return jnp.where(used, leaf[device][numbers], 0.0)

    def alone(params: Params) -> Params:
        found = jax.tree.map(rows, params.stages, stages)
        return Params(params.fixed[device, child][None], found)

    return jax.tree.map(alone, tree, is_leaf=are_parameters)


def _put(
    children: Children, device: jax.Array, child: jax.Array, stages: Any, paused: PausedChild
) -> Children:
    def into(all_of_them: Params, alone: Params) -> Params:
        def rows(leaf: jax.Array, numbers: jax.Array, values: jax.Array) -> jax.Array:
            # What is nobody's where the child is alone is nowhere here.
            numbers = jnp.where(numbers < 0, leaf.shape[1], numbers)
            return leaf.at[device, numbers].set(values, mode="drop")

        fixed = all_of_them.fixed.at[device, child].set(alone.fixed[0])
        return Params(fixed, jax.tree.map(rows, all_of_them.stages, stages, alone.stages))

    params, opt_state = jax.tree.map(
        into,
        (children.params, children.opt_state),
        (paused.params, paused.opt_state),
        is_leaf=are_parameters,
    )
    return children._replace(params=params, opt_state=opt_state)
