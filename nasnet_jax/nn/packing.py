"""Parameters of any of several operations in one flat buffer.

A slot of a child holds one operation out of 13, and which one is data. Its parameters live in a
buffer as wide as the widest of them, `[width]`, from which each operation takes what it needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from nasnet_jax.nn.layers import kernel_deviation


def initial_value(name: str, draw: jax.Array) -> jax.Array:
    """The initial value of a parameter: kernels by slim's initialiser, scales 1, offsets 0.

    Args:
      name: its path in the module.
      draw: truncated normal numbers of deviation 1 in its shape, or in that of a stack of several.
    """
    if "kernel" in name:
        # The last four axes, since what lies in front of a convolution's own is a stack.
        return kernel_deviation(draw.shape[-4:], depthwise="depthwise" in name) * draw
    return jnp.full_like(draw, float("scale" in name))


class Packing:
    """How the parameters of one module lie in a flat buffer: kernels first, then scales and offsets.

    Attributes:
      size: numbers that the module needs.
      kernel_size: numbers that belong to kernels, all in front, which is where L2 decay applies.
    """

    def __init__(self, make: Callable[[], nnx.Module]) -> None:
        self.graphdef, state = nnx.split(nnx.eval_shape(make))
        with_paths, self._treedef = jax.tree_util.tree_flatten_with_path(state)
        self._names = [jax.tree_util.keystr(path) for path, _ in with_paths]
        self._shapes = [leaf.shape for _, leaf in with_paths]
        # A stable sort, so kernels come first and otherwise in the order of the tree.
        self._order = sorted(range(len(self._shapes)), key=lambda i: len(self._shapes[i]) <= 1)
        sizes = [math.prod(shape) for shape in self._shapes]
        self.size = sum(sizes)
        self.kernel_size = sum(
            size for size, shape in zip(sizes, self._shapes, strict=True) if len(shape) > 1
        )

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

    def initial(self, draw: jax.Array) -> jax.Array:
        """Initial parameters `[width]` from truncated normal numbers of deviation 1, `[width]`."""
        parts = []
        start = 0
        for index in self._order:
            shape = self._shapes[index]
            stop = start + math.prod(shape)
            leaf = initial_value(self._names[index], draw[start:stop].reshape(shape))
            parts.append(leaf.reshape(-1))
            start = stop
        return jnp.concatenate([*parts, jnp.zeros(draw.shape[0] - start, draw.dtype)])
