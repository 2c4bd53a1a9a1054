"""Parameters of any of several operations in one buffer.

A slot of a child holds one operation out of 13, and which one is data. Its parameters live in a
buffer `[rows, F]` with as many rows as the largest of them needs, where an operation's layers lie one
after the other. Every kernel, scale and offset has F as its last axis, so each is a slice of rows
whose leading axis is split: nothing is moved, where a TPU would have to copy what lies in one vector.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nasnet_jax.nn.initial import initial


class Packing:
    """How the parameters of one module lie in a buffer: kernels first, then scales and offsets.

    Of the module, which may be of `nnx.eval_shape`, it keeps the shapes.

    Attributes:
      rows: that the module needs.
      kernel_rows: those of kernels, all in front, which is where L2 decay applies.
      parts: for each parameter in the buffer's order, how many rows it has and how they start.
    """

    def __init__(self, module: nnx.Module) -> None:
        self.graphdef, state = nnx.split(module)
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


def rows_of_each(packings: Sequence[Packing], buffer: jax.Array) -> list[jax.Array]:
    """The rows of each of several modules, which lie in a buffer one after the other."""
    ends = list(itertools.accumulate(packing.rows for packing in packings))
    return [buffer[end - packing.rows : end] for packing, end in zip(packings, ends, strict=True)]


def initial_slots(
    held: Sequence[Sequence[Packing]], chosen: jax.Array, draws: jax.Array
) -> jax.Array:
    """Initial parameters of slots, each of which holds one of several rows of modules.

    Computed from a table of where each parameter ends, and not in a branch for each, which
    would have to be compiled.

    Args:
      held: for each of what a slot may hold, the modules that lie in it one after the other.
      chosen: int `[...]`, which of them each slot holds.
      draws: truncated normal numbers of deviation 1, `[..., rows, F]`.

    Returns:
      `[..., rows, F]`; 0 behind what a slot holds.
    """
    total = jnp.zeros_like(draws)
    for inside, deviation, constant in _parts(held, chosen, draws.shape[-2], draws.dtype):
        total += jnp.where(inside, deviation * draws + constant, 0.0)
    return total


def kernel_mask(
    held: Sequence[Sequence[Packing]], chosen: jax.Array, rows: int, features: int
) -> jax.Array:
    """1 where a slot holds a kernel, so that L2 decays it, else 0.

    Args:
      held: for each of what a slot may hold, the modules that lie in it one after the other.
      chosen: int `[...]`, which of them each slot holds.
      rows: of a slot.
      features: F.

    Returns:
      float32 `[..., rows, F]`.
    """
    mask = jnp.zeros((*chosen.shape, rows, 1))
    for inside, deviation, _ in _parts(held, chosen, rows, mask.dtype):
        mask += inside & (deviation > 0.0)
    return jnp.broadcast_to(mask, (*mask.shape[:-1], features))


def _parts(
    held: Sequence[Sequence[Packing]], chosen: jax.Array, rows: int, dtype: Any
) -> Iterator[tuple[jax.Array, jax.Array, jax.Array]]:
    """For the first, second, ... parameter of every slot: its rows, and how it starts."""
    in_order = [[part for packing in packings for part in packing.parts] for packings in held]
    # For each of what is held and each of its parameters: where it starts and stops, how it begins.
    table = np.zeros((len(held), max(map(len, in_order)), 4))
    for number, parts in enumerate(in_order):
        stop = 0
        for column, (count, how) in enumerate(parts):
            table[number, column] = (stop, stop + count, *how)
            stop += count
    of_slots = jnp.asarray(table, dtype)[chosen][..., None]
    row = jnp.arange(rows, dtype=dtype)[:, None]
    for column in range(table.shape[1]):
        first, end, deviation, constant = jnp.split(of_slots[..., column, :, :], 4, axis=-2)
        yield (first <= row) & (row < end), deviation, constant
