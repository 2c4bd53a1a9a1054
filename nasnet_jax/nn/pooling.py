"""SAME pooling as TF-slim does it: padding enters neither the maximum nor the average's divisor.

On CPU the window is walked by shifted slices, rows first and columns after, because XLA:CPU's
`reduce_window` has a slow gradient; TPUs and GPUs get `reduce_window`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasnet_jax.nn.convolution import Pads, same_pads


def max_pool(x: jax.Array, size: int, stride: int) -> jax.Array:
    """Maximum over `size` x `size` windows: `[batch, height, width, channels]` to ceil(h / stride)."""
    return _pool(x, size, stride, jnp.maximum, -jnp.inf, lax.max)


def average_pool(x: jax.Array, size: int, stride: int) -> jax.Array:
    """Mean over the pixels of each window that lie inside the image (slim's SAME average)."""
    total = _pool(x, size, stride, jnp.add, 0.0, lax.add)
    pads = same_pads(x.shape[1:3], (size, size), (stride, stride), (1, 1))
    rows, columns = (_counts(x.shape[1 + a], size, stride, pads[a]) for a in range(2))
    return total / jnp.asarray(np.outer(rows, columns)[None, :, :, None], x.dtype)


def _counts(length: int, size: int, stride: int, pads: tuple[int, int]) -> np.ndarray:
    """How many pixels of each window along one axis lie inside the image."""
    ones = np.pad(np.ones(length), pads)
    windows = range(0, len(ones) - size + 1, stride)
    return np.array([ones[start : start + size].sum() for start in windows])


# Jitted for the same reason as in `convolution`.
@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4, 5), inline=True)
def _pool(
    x: jax.Array,
    size: int,
    stride: int,
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    empty: float,
    reducer: Callable,
) -> jax.Array:
    pads = same_pads(x.shape[1:3], (size, size), (stride, stride), (1, 1))
    return lax.platform_dependent(
        x,
        cpu=functools.partial(
            _by_shifts, size=size, stride=stride, pads=pads, combine=combine, empty=empty
        ),
        default=functools.partial(
            _by_window, size=size, stride=stride, pads=pads, reducer=reducer, empty=empty
        ),
    )


def _by_shifts(
    x: jax.Array,
    *,
    size: int,
    stride: int,
    pads: Pads,
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    empty: float,
) -> jax.Array:
    for axis in (1, 2):
        positions = -(-x.shape[axis] // stride)
        widths = [(0, 0)] * 4
        widths[axis] = pads[axis - 1]
        padded = jnp.pad(x, widths, constant_values=empty)
        shifted = [
            lax.slice_in_dim(padded, i, i + (positions - 1) * stride + 1, stride, axis)
            for i in range(size)
        ]
        x = functools.reduce(combine, shifted)
    return x


def _by_window(
    x: jax.Array, *, size: int, stride: int, pads: Pads, reducer: Callable, empty: float
) -> jax.Array:
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, empty, reducer, window, strides, ((0, 0), *pads, (0, 0)))
