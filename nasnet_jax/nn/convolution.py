"""Convolutions that stay fast inside control flow.

`convolution` computes what `jax.lax.conv_general_dilated` computes and takes the same arguments, so
that it goes into `flax.nnx.Conv(conv_general_dilated=...)`. TPUs and GPUs get `lax` itself. On
CPU, where XLA leaves convolutions inside `scan`, `switch` and `while` bodies in a slow form, it
is one of three forms, chosen by shape:

* 1x1: a matrix product;
* depthwise: a sum of shifted products, whose weight gradient adds up positions;
* otherwise `lax`, with both gradient convolutions written in the canonical `NHWC`, `HWIO` layout.

The platform is chosen when the program is lowered (`jax.lax.platform_dependent`), so a program
compiled ahead of time for a TPU on a CPU machine is the TPU's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")

POSITIONS = 4
"""At most so many in a step of a depthwise kernel's gradient; eight are no faster, and more code."""

Pads = tuple[tuple[int, int], tuple[int, int]]


class Geometry(NamedTuple):
    """What a 2-D convolution does to positions; hashable, so that `custom_vjp` takes it as static.

    Attributes:
        strides: Steps between output positions, in rows and columns.
        pads: Zeros before and after, in rows and columns.
        dilation: Steps between the taps of the kernel.
        groups: Channel groups; equal to the number of channels for a depthwise convolution.
    """

    strides: tuple[int, int]
    pads: Pads
    dilation: tuple[int, int]
    groups: int

    def out_size(self, axis: int, size: int, kernel: int) -> int:
        """Output size along an axis (0 rows, 1 columns) for an input size and a kernel size."""
        extent = (kernel - 1) * self.dilation[axis] + 1
        return (size + sum(self.pads[axis]) - extent) // self.strides[axis] + 1


def same_pads(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Pads:
    """TensorFlow's SAME padding: output size ceil(size / stride), the odd zero goes after."""
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    (top, bottom), (left, right) = lax.padtype_to_pads(sizes, extents, strides, "SAME")
    return (top, bottom), (left, right)


def convolution(
    images: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    lhs_dilation: Sequence[int] = (1, 1),
    rhs_dilation: Sequence[int] = (1, 1),
    dimension_numbers: Any = LAYOUT,
    feature_group_count: int = 1,
    precision: lax.PrecisionLike = None,
    out_sharding: Any = None,
) -> jax.Array:
    """A 2-D convolution with `lax.conv_general_dilated`'s meaning and arguments.

    Args:
        images: `[batch, height, width, channels]`.
        kernel: `[kernel height, kernel width, channels / groups, features]`.
        strides: In rows and columns.
        padding: `'SAME'`, `'VALID'` or pairs of zeros before and after.
        lhs_dilation: Must be ones; here for the signature of `lax`.
        rhs_dilation: Distance between kernel taps.
        dimension_numbers: Must be `NHWC`, `HWIO`, `NHWC`.
        feature_group_count: 1, or the number of channels for a depthwise convolution.
        precision: Must be None.
        out_sharding: Must be None.

    Returns:
        `[batch, height / stride, width / stride, features]`.

    Raises:
        ValueError: For what NASNet does not need and this function does not do.
    """
    expected = lax.conv_dimension_numbers(images.shape, kernel.shape, LAYOUT)
    if lax.conv_dimension_numbers(images.shape, kernel.shape, dimension_numbers) != expected:
        raise ValueError(f"convolution takes the layout {LAYOUT}, not {dimension_numbers}.")
    if tuple(lhs_dilation) != (1, 1) or precision is not None or out_sharding is not None:
        raise ValueError("convolution takes no lhs_dilation, precision or out_sharding.")
    if feature_group_count not in (1, images.shape[-1]):
        raise ValueError(
            f"convolution takes 1 group or one for each of the {images.shape[-1]} channels, "
            f"not {feature_group_count}."
        )
    pads: Pads
    if padding == "SAME":
        pads = same_pads(images.shape[1:3], kernel.shape[:2], strides, rhs_dilation)
    elif isinstance(padding, str):
        if padding != "VALID":
            raise ValueError(f"padding is 'SAME', 'VALID' or pairs of numbers, not {padding!r}.")
        pads = ((0, 0), (0, 0))
    else:
        (top, bottom), (left, right) = padding
        pads = ((top, bottom), (left, right))
    step, spread = (strides[0], strides[1]), (rhs_dilation[0], rhs_dilation[1])
    return _convolution(images, kernel, Geometry(step, pads, spread, feature_group_count))


# Jitted, so that a network that is run without `jit` compiles each shape once; inlined in a trace.
@functools.partial(jax.jit, static_argnums=(2,), inline=True)
def _by_platform(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    cpu, _ = _cpu_form(w, geometry)
    return lax.platform_dependent(
        x,
        w,
        cpu=functools.partial(cpu, geometry=geometry),
        default=functools.partial(_native, geometry=geometry),
    )


@functools.partial(jax.jit, static_argnums=(3,), inline=True)
def _gradient_by_platform(
    x: jax.Array, w: jax.Array, g: jax.Array, geometry: Geometry
) -> tuple[jax.Array, jax.Array]:
    _, cpu = _cpu_form(w, geometry)
    return lax.platform_dependent(
        x,
        w,
        g,
        cpu=functools.partial(cpu, geometry=geometry),
        default=functools.partial(_native_gradient, geometry=geometry),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolution(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    return _by_platform(x, w, geometry)


def _forward(
    x: jax.Array, w: jax.Array, geometry: Geometry
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolution(x, w, geometry), (x, w)


def _backward(
    geometry: Geometry, residuals: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return _gradient_by_platform(*residuals, g, geometry)


_convolution.defvjp(_forward, _backward)


def _cpu_form(w: jax.Array, geometry: Geometry) -> tuple[Callable, Callable]:
    """The forward and gradient functions that XLA:CPU runs fastest for this shape."""
    unpadded = geometry.pads == ((0, 0), (0, 0))
    if geometry.groups == 1 and w.shape[:2] == (1, 1) and unpadded:
        return _pointwise, _pointwise_gradient
    depthwise = geometry.groups > 1 and w.shape[2] == 1 and w.shape[3] == geometry.groups
    if depthwise and geometry.dilation == (1, 1):
        return _depthwise, _depthwise_gradient
    if geometry.groups == 1:
        return _native, _canonical_gradient
    return _native, _native_gradient


# --- lax, as TPUs and GPUs want it


def _native(x: jax.Array, w: jax.Array, *, geometry: Geometry) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        w,
        geometry.strides,
        geometry.pads,
        rhs_dilation=geometry.dilation,
        dimension_numbers=LAYOUT,
        feature_group_count=geometry.groups,
    )


def _native_gradient(
    x: jax.Array, w: jax.Array, g: jax.Array, *, geometry: Geometry
) -> tuple[jax.Array, jax.Array]:
    _, vjp = jax.vjp(functools.partial(_native, geometry=geometry), x, w)
    return vjp(g)


def _canonical_gradient(
    x: jax.Array, w: jax.Array, g: jax.Array, *, geometry: Geometry
) -> tuple[jax.Array, jax.Array]:
    """The gradients of `lax` as two convolutions in the forward pass's own layout.

    XLA:CPU brings convolutions to this layout in the entry computation only; in a loop body they
    would run about 70 times slower (3x3, 32x32x32x16 on one core).
    """
    (sh, sw), dilation = geometry.strides, geometry.dilation
    input_pads, kernel_pads = [], []
    for axis in range(2):
        size, kernel, positions = x.shape[1 + axis], w.shape[axis], g.shape[1 + axis]
        before, step = geometry.pads[axis][0], dilation[axis]
        extent = (kernel - 1) * step + 1
        spread = (positions - 1) * geometry.strides[axis] + 1
        input_pads.append((extent - 1 - before, size - spread + before))
        kernel_pads.append((before, (kernel - 1) * step + spread - size - before))
    dx = lax.conv_general_dilated(
        g,
        jnp.flip(w, (0, 1)).swapaxes(2, 3),
        (1, 1),
        input_pads,
        lhs_dilation=(sh, sw),
        rhs_dilation=dilation,
        dimension_numbers=LAYOUT,
    )
    dw = lax.conv_general_dilated(
        jnp.transpose(x, (3, 1, 2, 0)),
        jnp.transpose(g, (1, 2, 0, 3)),
        dilation,
        kernel_pads,
        rhs_dilation=(sh, sw),
        dimension_numbers=LAYOUT,
    )
    return dx, jnp.transpose(dw, (1, 2, 0, 3))


# --- 1x1: a matrix product over the positions that the stride keeps


def _pointwise(x: jax.Array, w: jax.Array, *, geometry: Geometry) -> jax.Array:
    sh, sw = geometry.strides
    x = x[:, ::sh, ::sw]
    return (x.reshape(-1, x.shape[-1]) @ w[0, 0]).reshape(*x.shape[:-1], w.shape[-1])


def _pointwise_gradient(
    x: jax.Array, w: jax.Array, g: jax.Array, *, geometry: Geometry
) -> tuple[jax.Array, jax.Array]:
    _, vjp = jax.vjp(functools.partial(_pointwise, geometry=geometry), x, w)
    return vjp(g)


# --- depthwise: each output is a sum of shifted inputs, each times one number a channel


def _sum_of_taps(
    x: jax.Array, w: jax.Array, out: Sequence[int], strides: Sequence[int]
) -> jax.Array:
    """The shifted inputs that a kernel's taps see, times its numbers: `[batch, rows, columns, channels]`.

    In `lax`, since operators and indexing take several times as long to trace, and a kernel has
    up to 49 taps.
    """
    (rows, columns), (height, width) = out, w.shape[:2]
    batch, *_, channels = x.shape
    weights = w.reshape(height * width, channels)
    total = None
    for tap in range(height * width):
        i, j = divmod(tap, width)
        end = (i + (rows - 1) * strides[0] + 1, j + (columns - 1) * strides[1] + 1)
        seen = lax.slice(x, (0, i, j, 0), (batch, *end, channels), (1, *strides, 1))
        weight = lax.reshape(lax.slice(weights, (tap, 0), (tap + 1, channels)), (channels,))
        product = lax.mul(seen, lax.broadcast_in_dim(weight, seen.shape, (3,)))
        total = product if total is None else lax.add(total, product)
    assert total is not None
    return total


def _out_sizes(x: jax.Array, w: jax.Array, geometry: Geometry) -> tuple[int, int]:
    height, width = (geometry.out_size(a, x.shape[1 + a], w.shape[a]) for a in range(2))
    return height, width


def _depthwise(x: jax.Array, w: jax.Array, *, geometry: Geometry) -> jax.Array:
    out = _out_sizes(x, w, geometry)
    padded = jnp.pad(x, ((0, 0), *geometry.pads, (0, 0)))
    return _sum_of_taps(padded, w, out, geometry.strides)


def _depthwise_gradient(
    x: jax.Array, w: jax.Array, g: jax.Array, *, geometry: Geometry
) -> tuple[jax.Array, jax.Array]:
    dx = _depthwise_input_gradient(w, g, x.shape[1:3], geometry)
    return dx, _depthwise_kernel_gradient(x, g, (w.shape[0], w.shape[1]), geometry)


def _depthwise_input_gradient(
    w: jax.Array, g: jax.Array, sizes: Sequence[int], geometry: Geometry
) -> jax.Array:
    """Where a convolution strides, a position has been under some of the kernel's taps only.

    Which ones depends on its remainder by the stride. For each remainder it is a sum of fewer taps,
    all of which count; over cotangents with zeros in between it would be one of all of them.
    """
    strides, kernel = geometry.strides, w.shape[:2]
    out = [-(-size // stride) for size, stride in zip(sizes, strides, strict=True)]

    def part(remainders: tuple[int, int]) -> jax.Array:
        first, pads = [], [(0, 0, 0)]
        for axis, remainder in enumerate(remainders):
            stride, position = strides[axis], remainder + geometry.pads[axis][0]
            tap = position % stride
            taps = len(range(tap, kernel[axis], stride))
            before = taps - 1 - position // stride
            pads.append((before, out[axis] + taps - 1 - before - g.shape[1 + axis], 0))
            first.append(tap)
        seen = w[first[0] :: strides[0], first[1] :: strides[1]]
        if 0 in seen.shape:
            return jnp.zeros((g.shape[0], *out, g.shape[-1]), g.dtype)
        padded = lax.pad(g, jnp.zeros((), g.dtype), [*pads, (0, 0, 0)])
        return _sum_of_taps(padded, jnp.flip(seen, (0, 1)), out, (1, 1))

    rows = [
        jnp.stack([part((i, j)) for j in range(strides[1])], 3).reshape(
            g.shape[0], out[0], out[1] * strides[1], -1
        )
        for i in range(strides[0])
    ]
    whole = jnp.stack(rows, 2).reshape(g.shape[0], out[0] * strides[0], -1, g.shape[-1])
    return whole[:, : sizes[0], : sizes[1]]


def _depthwise_kernel_gradient(
    x: jax.Array, g: jax.Array, kernel: tuple[int, int], geometry: Geometry
) -> jax.Array:
    """Adds up, over the output positions, the window that each has seen, times its cotangent.

    Positions lead, and batch and channels are one long axis behind them, so that every step is a
    product of contiguous rows. A sum over images or positions for each tap is up to five times
    slower to run, and to compile. Some positions are added in one step, which then reads and writes
    the sum once: a quarter less time.
    """
    batch, channels = x.shape[0], x.shape[-1]
    rows, columns = g.shape[1:3]
    padded = jnp.pad(x, ((0, 0), *geometry.pads, (0, 0))).transpose(1, 2, 0, 3)
    windows = padded.reshape(*padded.shape[:2], batch * channels)
    cotangents = g.transpose(1, 2, 0, 3).reshape(rows, columns, batch * channels)
    at_once = math.gcd(columns, POSITIONS)

    def add_row(row: jax.Array, total: jax.Array) -> jax.Array:
        def add_positions(part: jax.Array, total: jax.Array) -> jax.Array:
            for column in (part * at_once + offset for offset in range(at_once)):
                corner = (row * geometry.strides[0], column * geometry.strides[1], 0)
                window = lax.dynamic_slice(windows, corner, total.shape)
                cotangent = lax.dynamic_slice(
                    cotangents, (row, column, 0), (1, 1, batch * channels)
                )
                total = total + window * cotangent
            return total

        return lax.fori_loop(0, columns // at_once, add_positions, total)

    total = jnp.zeros((*kernel, batch * channels), x.dtype)
    total = lax.fori_loop(0, rows, add_row, total)
    return total.reshape(*kernel, batch, channels).sum(2)[:, :, None, :]
