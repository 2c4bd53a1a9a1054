"""Initial parameters of a whole network from one draw of random numbers.

A program takes a quarter of a second to compile for each generator that it has, and a network has
hundreds of kernels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasnet_jax.nn.layers import kernel_std


class Initial(NamedTuple):
    """How a parameter starts: `std` times a truncated normal number, plus `constant`."""

    std: float
    constant: float


def initial(name: str, shape: Sequence[int]) -> Initial:
    """How a parameter starts: kernels by slim's initialiser, scales and variances at 1, others at 0.

    Args:
        name: Its path in the module.
        shape: Its own, or that of a stack of several.
    """
    if "kernel" in name:
        # The last four axes, since what lies in front of a convolution's own is a stack.
        return Initial(kernel_std(tuple(shape[-4:]), depthwise="depthwise" in name), 0.0)
    return Initial(0.0, float("scale" in name or "variance" in name))


def draws(key: jax.Array, shapes: Any) -> Any:
    """Truncated normal numbers of deviation 1 for a tree of parameters, float32."""
    number = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    return cut(jax.random.truncated_normal(key, -2.0, 2.0, (number,)), shapes)


def cut(vector: Any, shapes: Any) -> Any:
    """The tree of arrays of these shapes that lie one after the other in a vector, of NumPy or JAX."""
    leaves, tree = jax.tree.flatten(shapes)
    ends = itertools.accumulate(leaf.size for leaf in leaves)
    parts = [vector[end - leaf.size : end] for end, leaf in zip(ends, leaves, strict=True)]
    return jax.tree.unflatten(
        tree, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    )


def started(drawn: Any) -> Any:
    """The parameters that what `draws` gave becomes."""

    def start(path: tuple, draw: jax.Array) -> jax.Array:
        std, constant = initial(jax.tree_util.keystr(path), draw.shape)
        # XLA keeps a product with zero, since a draw could be infinite.
        return std * draw if std else jnp.full_like(draw, constant)

    return jax.tree_util.tree_map_with_path(start, drawn)
