"""The rows of a tape: all that the layers of a device's children make, one beside the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.layout import Layout, with_layout_constraint

from nasnet_jax.nn.layers import LayerConfig


class Rows(NamedTuple):
    """Rows, `R` of them, in the order of `nasnet_jax.nn.batch_axis`.

    Attributes:
        values: `[R, batch, height, width, F]`, what is read: hidden states, and what lies between
            layers.
        made: The same before normalization, which the gradient needs.
        statistics: `[R, 2, F]`: the mean of what was made, and one over its standard deviation; 0
            and 1 where nothing is normalized.
    """

    values: Any
    made: Any
    statistics: Any


def statistics(config: LayerConfig, made: jax.Array) -> jax.Array:
    """Of each of s things made, `[s, batch, height, width, F]`, as `Rows` has them: `[s, 2, F]`."""
    wide = made.astype(jnp.promote_types(made.dtype, jnp.float32))
    mean = _mean(config, wide)
    variance = _mean(config, jnp.square(wide - beside(config, mean)))
    return jnp.stack((mean, lax.rsqrt(variance + config.norm_epsilon)), 1)


def normalized(
    config: LayerConfig, made: jax.Array, found: jax.Array, norms: jax.Array
) -> jax.Array:
    """What was made with another mean and variance.

    Args:
        config: Of all layers.
        made: `[s, batch, height, width, F]`.
        found: Its statistics, `[s, 2, F]`.
        norms: As from `scaled`, `[s, 2, F]`.
    """
    mean, factor, offset = (beside(config, x) for x in (found[:, 0], norms[:, 0], norms[:, 1]))
    return ((made - mean) * factor + offset).astype(made.dtype)


def scaled(found: jax.Array, norms: jax.Array) -> jax.Array:
    """Scale and offset, `[s, 2, F]`, with the scale over the standard deviation."""
    return jnp.stack((found[:, 1] * norms[:, 0], norms[:, 1]), 1)


class NormGradient(NamedTuple):
    """What the gradient of a normalization is made of, `[s, F]` each; see `normalized_gradient`.

    Attributes:
        mean: Of what was made.
        factor: The scale over the standard deviation.
        mean_g: The mean of the cotangents; times the number of pixels, that of the offset.
        mean_product: That of their products with what was made, standardized; as much of the scale.
        slope: `mean_product` over the standard deviation.
    """

    mean: Any
    factor: Any
    mean_g: Any
    mean_product: Any
    slope: Any


def norm_gradient(
    config: LayerConfig, made: jax.Array, found: jax.Array, scale: jax.Array, g: jax.Array
) -> NormGradient:
    """Reduces cotangents.

    Args:
        config: Of all layers.
        made: `[s, batch, height, width, F]`.
        found: Its statistics, `[s, 2, F]`.
        scale: `[s, F]`.
        g: The cotangents of what was normalized.
    """
    mean, inverse = found[:, 0], found[:, 1]
    wide = g.astype(found.dtype)
    mean_product = _mean(config, wide * (made - beside(config, mean))) * inverse
    return NormGradient(
        mean, inverse * scale, _mean(config, wide), mean_product, inverse * mean_product
    )


def no_norm_gradient(found: jax.Array) -> NormGradient:
    """Of what is not normalized."""
    zeros, ones = jnp.zeros_like(found[:, 0]), jnp.ones_like(found[:, 0])
    return NormGradient(zeros, ones, zeros, zeros, zeros)


def normalized_gradient(
    config: LayerConfig, made: jax.Array, norm: NormGradient, g: jax.Array
) -> jax.Array:
    """The cotangents of what was made, in closed form, from those of what was normalized."""
    mean, factor, mean_g, _, slope = (beside(config, x) for x in norm)
    return (factor * (g - mean_g - (made - mean) * slope)).astype(g.dtype)


def _mean(config: LayerConfig, x: jax.Array) -> jax.Array:
    """Over all but the first axis and the features."""
    return x.mean((1, 2, 4) if config.batch_last else (1, 2, 3))


def beside(config: LayerConfig, x: jax.Array) -> jax.Array:
    """`[s, F]` beside rows."""
    return x[:, None, None, :, None] if config.batch_last else x[:, None, None, None]


# --- places in buffers


def take(buffer: jax.Array, start: jax.Array, number: int) -> jax.Array:
    """So many rows, from one on."""
    return lax.dynamic_slice_in_dim(buffer, start, number)


def put(buffer: jax.Array, values: jax.Array, start: jax.Array) -> jax.Array:
    """The buffer with these rows from one on."""
    return lax.dynamic_update_slice_in_dim(buffer, values, start, 0)


def gather(buffer: jax.Array, numbers: jax.Array) -> jax.Array:
    """Some rows, none of them twice."""
    if len(numbers) == 1:
        return take(buffer, numbers[0], 1)
    return rows_first(buffer.at[numbers].get(mode="promise_in_bounds", unique_indices=True))


def scatter_add(buffer: jax.Array, numbers: jax.Array, values: jax.Array) -> jax.Array:
    """The buffer with values added to some rows, none of them twice."""
    if len(numbers) == 1:
        return put(buffer, take(buffer, numbers[0], 1) + values, numbers[0])
    return buffer.at[numbers].add(rows_first(values), mode="promise_in_bounds", unique_indices=True)


def rows_first(rows: jax.Array) -> jax.Array:
    """Rows as they lie in buffers, one behind the other.

    Several convolutions with kernels of their own become one of all channels side by side, and XLA would
    lay out whole buffers anew so that they are.
    """
    return with_layout_constraint(rows, Layout(tuple(range(rows.ndim))))


def each(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The function for `number` calls or children at once, along the leading axis of its arguments."""
    if number > 1:
        return jax.vmap(function)

    def of_one(*arguments: Any) -> Any:
        # Without an axis of one, which XLA would not always see through.
        one = jax.tree.map(lambda leaf: leaf[0], arguments)
        return jax.tree.map(lambda leaf: leaf[None], function(*one))

    return of_one
