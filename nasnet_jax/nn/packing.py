"""Parameters of any of several operations in one buffer.

A slot of a child holds one operation out of 13, and which one is data. Its parameters live in a
buffer `[rows, F]` with as many rows as the largest of them needs, from which each operation takes its
own. Every kernel, scale and offset of an operation has F as its last axis, so each is a slice of rows
whose leading axis is split: nothing is moved, where a TPU would have to copy what lies in one vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nasnet_jax.nn.layers import kernel_deviation


class Initial(NamedTuple):
    """How a parameter starts: `deviation` times a truncated normal number, plus `constant`."""

    deviation: float
    constant: float


def initial(name: str, shape: Sequence[int]) -> Initial:
    """How a parameter starts: kernels by slim's initialiser, scales at 1, offsets at 0.

    Args:
      name: its path in the module.
      shape: its own, or that of a stack of several.
    """
    if "kernel" in name:
        # The last four axes, since what lies in front of a convolution's own is a stack.
        return Initial(kernel_deviation(tuple(shape[-4:]), depthwise="depthwise" in name), 0.0)
    return Initial(0.0, float("scale" in name))


class Packing:
    """How the parameters of one module lie in a buffer: kernels first, then scales and offsets.

    Attributes:
      rows: that the module needs.
      kernel_rows: those of kernels, all in front, which is where L2 decay applies.
      parts: for each parameter in the buffer's order, how many rows it has and how they start.
    """

    def __init__(self, make: Callable[[], nnx.Module]) -> None:
        self.graphdef, state = nnx.split(nnx.eval_shape(make))
        with_paths, self._treedef = jax.tree_util.tree_flatten_with_path(state)
        self._shapes = [leaf.shape for _, leaf in with_paths]
        # A stable sort, so kernels come first and otherwise in the order of the tree.
        self._order = sorted(range(len(self._shapes)), key=lambda i: len(self._shapes[i]) <= 1)
        names = [jax.tree_util.keystr(path) for path, _ in with_paths]
        self.parts = [
            (math.prod(self._shapes[i][:-1]), initial(names[i], self._shapes[i]))
            for i in self._order
        ]
        self.rows = sum(rows for rows, _ in self.parts)
        self.kernel_rows = sum(math.prod(shape[:-1]) for shape in self._shapes if len(shape) > 1)

    def unpack(self, buffer: jax.Array) -> nnx.State:
        """The module's state from a buffer `[rows, F]` with at least as many rows as it needs."""
        leaves: list[jax.Array | None] = [None] * len(self._shapes)
        start = 0
        for index, (rows, _) in zip(self._order, self.parts, strict=True):
            leaves[index] = buffer[start : start + rows].reshape(self._shapes[index])
            start += rows
        return jax.tree.unflatten(self._treedef, leaves)

    def module(self, buffer: jax.Array) -> nnx.Module:
        """The module itself, with the parameters in the buffer."""
        return nnx.merge(self.graphdef, self.unpack(buffer))


def initial_slots(packings: Sequence[Packing], chosen: jax.Array, draws: jax.Array) -> jax.Array:
    """Initial parameters of slots, each of which holds one of several modules.

    Computed from a table of where each parameter ends, and not in a branch for each module, which
    would have to be compiled.

    Args:
      packings: of the modules.
      chosen: int `[...]`, the module of each slot.
      draws: truncated normal numbers of deviation 1, `[..., rows, F]`.

    Returns:
      `[..., rows, F]`; 0 behind what a module needs.
    """
    # For each module and each of its parameters: where it starts and stops, and how it begins.
    table = np.zeros((len(packings), max(len(packing.parts) for packing in packings), 4))
    for number, packing in enumerate(packings):
        stop = 0
        for column, (rows, how) in enumerate(packing.parts):
            table[number, column] = (stop, stop + rows, *how)
            stop += rows
    held = jnp.asarray(table, draws.dtype)[chosen][..., None]
    row = jnp.arange(draws.shape[-2], dtype=draws.dtype)[:, None]
    total = jnp.zeros_like(draws)
    for column in range(table.shape[1]):
        first, end, deviation, constant = jnp.split(held[..., column, :, :], 4, axis=-2)
        inside = (first <= row) & (row < end)
        total += jnp.where(inside, deviation * draws + constant, 0.0)
    return total


def kernel_mask(
    packings: Sequence[Packing], chosen: jax.Array, rows: int, features: int
) -> jax.Array:
    """1 where a slot holds a kernel of its module, so that L2 decays it, else 0.

    Args:
      packings: of the modules.
      chosen: int `[...]`, the module of each slot.
      rows: of a slot.
      features: F.

    Returns:
      float32 `[..., rows, F]`.
    """
    kernels = jnp.array([packing.kernel_rows for packing in packings])[chosen]
    inside = (jnp.arange(rows) < kernels[..., None]).astype(jnp.float32)
    return jnp.broadcast_to(inside[..., None], (*inside.shape, features))
