"""SAME pooling as TF-slim does it: padding enters neither the maximum nor the average's divisor.

Windows are walked along rows first and along columns after. On CPU by shifted slices, because XLA:CPU's
`reduce_window` has a slow gradient; elsewhere by `reduce_window`, which on TPUs keeps the batch in the
lanes, where shifted slices would not. (The gradient of 7x7 windows at once takes 36 seconds of CPU time
to compile for a TPU, and by rows and columns 2.) Where a window has its maximum at several places, the
gradient goes to the first of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasnet_jax.nn.convolution import Pads, same_pads


def max_pool(x: jax.Array, size: int, stride: int) -> jax.Array:
    """Maximum over `size` x `size` windows: `[batch, height, width, channels]` to ceil(h / stride)."""
    return _by_platform(x, size, stride, "max")


def average_pool(x: jax.Array, size: int, stride: int) -> jax.Array:
    """Mean over the pixels of each window that lie inside the image (slim's SAME average)."""
    total = _by_platform(x, size, stride, "sum")
    pads = same_pads(x.shape[1:3], (size, size), (stride, stride), (1, 1))
    rows, columns = (_counts(x.shape[1 + a], size, stride, pads[a]) for a in range(2))
    return total / jnp.asarray(np.outer(rows, columns)[None, :, :, None], x.dtype)


def _counts(length: int, size: int, stride: int, pads: tuple[int, int]) -> np.ndarray:
    """How many pixels of each window along one axis lie inside the image."""
    ones = np.pad(np.ones(length), pads)
    windows = range(0, len(ones) - size + 1, stride)
    return np.array([ones[start : start + size].sum() for start in windows])


# Jitted for the same reason as in `convolution`.
@functools.partial(jax.jit, static_argnums=(1, 2, 3), inline=True)
def _by_platform(x: jax.Array, size: int, stride: int, kind: Literal["max", "sum"]) -> jax.Array:
    pads = same_pads(x.shape[1:3], (size, size), (stride, stride), (1, 1))
    if kind == "max":
        by_shifts, by_window = _max_by_shifts, _max_by_window
    else:
        by_shifts, by_window = _sum_by_shifts, _sum_by_window
    return lax.platform_dependent(
        x,
        cpu=functools.partial(by_shifts, size=size, stride=stride, pads=pads),
        default=functools.partial(by_window, size=size, stride=stride, pads=pads),
    )


class _Line(NamedTuple):
    """Windows along one axis (1 rows, 2 columns) of an array of `length` positions there."""

    axis: int
    size: int
    stride: int
    pads: tuple[int, int]
    length: int

    @property
    def positions(self) -> int:
        return (self.length + sum(self.pads) - self.size) // self.stride + 1

    def reduced(self, x: jax.Array, empty: float, reducer: Callable) -> jax.Array:
        """Every window brought to one number by `reduce_window`."""
        window, strides, pads = [1] * x.ndim, [1] * x.ndim, [(0, 0)] * x.ndim
        window[self.axis], strides[self.axis] = self.size, self.stride
        pads[self.axis] = self.pads
        return lax.reduce_window(x, empty, reducer, window, strides, pads)

    def taps(self, x: jax.Array, empty: float) -> list[jax.Array]:
        """For each place in the windows, what all windows have there."""
        return self._slices(self._pad(x, self.pads, empty), self.positions, self.stride)

    def seen(self, y: jax.Array, empty: float) -> list[jax.Array]:
        """For each place, the window that has each position there, with `empty` for none."""
        spread = (self.positions - 1) * self.stride + 1
        before = self.size - 1 - self.pads[0]
        edges = (before, self.length + self.size - 1 - before - spread)
        return self._slices(self._pad(y, edges, empty, self.stride - 1), self.length, 1)

    def _pad(
        self, x: jax.Array, edges: tuple[int, int], empty: float, between: int = 0
    ) -> jax.Array:
        widths = [(0, 0, 0)] * x.ndim
        widths[self.axis] = (*edges, between)
        return lax.pad(x, jnp.array(empty, x.dtype), widths)

    def _slices(self, x: jax.Array, number: int, stride: int) -> list[jax.Array]:
        return [
            lax.slice_in_dim(x, place, place + (number - 1) * stride + 1, stride, self.axis)
            for place in range(self.size)
        ]


def _lines(x: jax.Array, size: int, stride: int, pads: Pads) -> list[_Line]:
    return [_Line(axis, size, stride, pads[axis - 1], x.shape[axis]) for axis in (1, 2)]


# --- reduce_window


def _max_by_window(x: jax.Array, *, size: int, stride: int, pads: Pads) -> jax.Array:
    for line in _lines(x, size, stride, pads):
        x = line.reduced(x, -jnp.inf, lax.max)
    return x


def _sum_by_window(x: jax.Array, *, size: int, stride: int, pads: Pads) -> jax.Array:
    for line in _lines(x, size, stride, pads):
        x = line.reduced(x, 0.0, lax.add)
    return x


# --- shifted slices


def _sum_by_shifts(x: jax.Array, *, size: int, stride: int, pads: Pads) -> jax.Array:
    for line in _lines(x, size, stride, pads):
        x = functools.reduce(jnp.add, line.taps(x, 0.0))
    return x


def _max_by_shifts(x: jax.Array, *, size: int, stride: int, pads: Pads) -> jax.Array:
    for line in _lines(x, size, stride, pads):
        x = _line_max(x, line)
    return x


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _line_max(x: jax.Array, line: _Line) -> jax.Array:
    return functools.reduce(jnp.maximum, line.taps(x, -jnp.inf))


def _line_max_forward(x: jax.Array, line: _Line) -> tuple[jax.Array, jax.Array]:
    """The maxima, and at which place of its window each one is.

    Not found again in the gradient as what equals the maximum: XLA may compute what is pooled anew for
    each loop that reads it, and round it in several ways, and then nothing is equal.
    """
    first, *others = line.taps(x, -jnp.inf)
    largest, place = first, jnp.zeros(first.shape, x.dtype)
    for number, tap in enumerate(others, start=1):
        # Written so that it is true for NaN, which a maximum keeps.
        larger = ~(tap <= largest)
        largest = jnp.where(larger, tap, largest)
        place = jnp.where(larger, jnp.asarray(number, x.dtype), place)
    return largest, place


def _line_max_backward(line: _Line, place: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    """Each window's cotangent goes to its maximum, the first of equal ones."""
    windows = zip(line.seen(place, -1), line.seen(g, 0.0), strict=True)
    # The last window that sees a position has it at its first place.
    places = reversed(range(line.size))
    parts = zip(places, windows, strict=True)
    return (functools.reduce(jnp.add, [jnp.where(at == n, part, 0.0) for n, (at, part) in parts]),)


_line_max.defvjp(_line_max_forward, _line_max_backward)
