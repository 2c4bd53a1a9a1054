"""Parameters of any of several operations in one flat buffer.

A slot of a child holds one operation out of 13, and which one is data. Its parameters live in a
buffer as wide as the widest of them, `[width]`, from which each operation takes what it needs.
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
    """How the parameters of one module lie in a flat buffer: kernels first, then scales and offsets.

    Attributes:
      size: numbers that the module needs.
      kernel_size: numbers that belong to kernels, all in front, which is where L2 decay applies.
      parts: for each parameter in the buffer's order, how many numbers it has and how they start.
    """

    def __init__(self, make: Callable[[], nnx.Module]) -> None:
        self.graphdef, state = nnx.split(nnx.eval_shape(make))
        with_paths, self._treedef = jax.tree_util.tree_flatten_with_path(state)
        self._shapes = [leaf.shape for _, leaf in with_paths]
        # A stable sort, so kernels come first and otherwise in the order of the tree.
        self._order = sorted(range(len(self._shapes)), key=lambda i: len(self._shapes[i]) <= 1)
        names = [jax.tree_util.keystr(path) for path, _ in with_paths]
        self.parts = [
            (math.prod(self._shapes[i]), initial(names[i], self._shapes[i])) for i in self._order
        ]
        self.size = sum(size for size, _ in self.parts)
        self.kernel_size = sum(math.prod(shape) for shape in self._shapes if len(shape) > 1)

    def unpack(self, flat: jax.Array) -> nnx.State:
        """The module's state from a buffer `[width]`, `width >= size`."""
        leaves: list[jax.Array | None] = [None] * len(self._shapes)
        start = 0
        for index in self._order:
            shape = self._shapes[index]
            stop = start + math.prod(shape)
            leaves[index] = flat[start:stop].reshape(shape)
            start = stop
        return jax.tree.unflatten(self._treedef, leaves)

    def module(self, flat: jax.Array) -> nnx.Module:
        """The module itself, with the parameters in `flat`."""
        return nnx.merge(self.graphdef, self.unpack(flat))


def initial_slots(packings: Sequence[Packing], chosen: jax.Array, draws: jax.Array) -> jax.Array:
    """Initial parameters of slots, each of which holds one of several modules.

    Computed from a table of where each parameter ends, and not in a branch for each module, which
    would have to be compiled.

    Args:
      packings: of the modules.
      chosen: int `[...]`, the module of each slot.
      draws: truncated normal numbers of deviation 1, `[..., width]`.

    Returns:
      `[..., width]`; 0 behind what a module needs.
    """
    # For each module and each of its parameters: where it starts and stops, and how it begins.
    table = np.zeros((len(packings), max(len(packing.parts) for packing in packings), 4))
    for row, packing in enumerate(packings):
        stop = 0
        for column, (size, how) in enumerate(packing.parts):
            table[row, column] = (stop, stop + size, *how)
            stop += size
    rows = jnp.asarray(table, draws.dtype)[chosen]
    position = jnp.arange(draws.shape[-1], dtype=draws.dtype)
    total = jnp.zeros_like(draws)
    for column in range(table.shape[1]):
        first, end, deviation, constant = jnp.split(rows[..., column, :], 4, axis=-1)
        inside = (first <= position) & (position < end)
        total += jnp.where(inside, deviation * draws + constant, 0.0)
    return total


def kernel_mask(packings: Sequence[Packing], chosen: jax.Array, width: int) -> jax.Array:
    """1 where a slot of this width holds a kernel of its module, so that L2 decays it, else 0.

    Args:
      packings: of the modules.
      chosen: int `[...]`, the module of each slot.
      width: numbers in a slot.

    Returns:
      float32 `[..., width]`.
    """
    sizes = jnp.array([packing.kernel_size for packing in packings])[chosen]
    return (jnp.arange(width) < sizes[..., None]).astype(jnp.float32)
