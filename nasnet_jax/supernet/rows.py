"""The rows of a tape: all that the layers of a device's children make, one beside the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasnet_jax.nn.layers import LayerConfig


class Rows(NamedTuple):
    """Rows, `R` of them, in the order of `nasnet_jax.nn.batch_axis`.

    Attributes:
      values: `[R, batch, height, width, F]`, what is read: hidden states, and what lies between layers.
      made: the same before normalization, which the gradient needs.
      statistics: `[R, 2, F]`: the mean of what was made, and one over its standard deviation; 0 and 1
        where nothing is normalized.
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
      config: of all layers.
      made: `[s, batch, height, width, F]`.
      found: its statistics, `[s, 2, F]`.
      norms: scale and offset, `[s, 2, F]`.
    """
    mean, inverse, scale, offset = (
        beside(config, x[:, i]) for x in (found, norms) for i in range(2)
    )
    return ((made - mean) * (inverse * scale) + offset).astype(made.dtype)


def gradient_means(
    config: LayerConfig, made: jax.Array, found: jax.Array, g: jax.Array
) -> jax.Array:
    """The two means that the gradient of normalization consists of, `[s, 2, F]`.

    Times the number of pixels, they are the cotangents of scale and offset.

    Args:
      config: of all layers.
      made: `[s, batch, height, width, F]`.
      found: its statistics, `[s, 2, F]`.
      g: the cotangents of what was normalized.
    """
    wide = g.astype(found.dtype)
    product = wide * _standardized(config, made, found)
    return jnp.stack((_mean(config, product), _mean(config, wide)), 1)


def normalized_gradient(
    config: LayerConfig,
    made: jax.Array,
    found: jax.Array,
    scale: jax.Array,
    means: jax.Array,
    g: jax.Array,
) -> jax.Array:
    """The cotangents of what was made, in closed form.

    Args:
      config: of all layers.
      made: `[s, batch, height, width, F]`.
      found: its statistics, `[s, 2, F]`.
      scale: `[s, F]`.
      means: as from `gradient_means`; zeros where nothing is normalized.
      g: the cotangents of what was normalized.
    """
    mean_product, mean_g = (beside(config, means[:, i]) for i in range(2))
    factor = beside(config, found[:, 1] * scale)
    centered = g - mean_g - _standardized(config, made, found) * mean_product
    return (factor * centered).astype(g.dtype)


def _standardized(config: LayerConfig, made: jax.Array, found: jax.Array) -> jax.Array:
    return (made - beside(config, found[:, 0])) * beside(config, found[:, 1])


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
    return buffer.at[numbers].get(mode="promise_in_bounds", unique_indices=True)


def scatter_add(buffer: jax.Array, numbers: jax.Array, values: jax.Array) -> jax.Array:
    """The buffer with values added to some rows, none of them twice."""
    if len(numbers) == 1:
        return put(buffer, take(buffer, numbers[0], 1) + values, numbers[0])
    return buffer.at[numbers].add(values, mode="promise_in_bounds", unique_indices=True)


def each(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The function for `number` calls or children at once, along the leading axis of its arguments."""
    if number > 1:
        return jax.vmap(function)

    def of_one(*arguments: Any) -> Any:
        # Without an axis of one, which XLA would not always see through.
        one = jax.tree.map(lambda leaf: leaf[0], arguments)
        return jax.tree.map(lambda leaf: leaf[None], function(*one))

    return of_one
