"""Reading and writing places of a buffer, by the indices of its leading axes.

Loops carry their buffers and write into them in place.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def take(buffer: jax.Array, *place: Any) -> jax.Array:
    """What lies at a place: `buffer[place]`."""
    rest, ones = buffer.shape[len(place) :], [1] * len(place)
    return lax.dynamic_slice(buffer, _start(buffer, place), (*ones, *rest)).reshape(rest)


def put(buffer: jax.Array, value: jax.Array, *place: Any) -> jax.Array:
    """The buffer with a value at a place."""
    value = value.reshape(*[1] * len(place), *value.shape)
    return lax.dynamic_update_slice(buffer, value, _start(buffer, place))


def add(buffer: jax.Array, value: jax.Array, *place: Any) -> jax.Array:
    """The buffer with a value added at a place."""
    return put(buffer, take(buffer, *place) + value, *place)


def take_tree(tree: Any, *place: Any) -> Any:
    """What lies at a place of each buffer."""
    return jax.tree.map(lambda leaf: take(leaf, *place), tree)


def put_tree(tree: Any, values: Any, *place: Any) -> Any:
    """Each buffer with its value at a place."""
    return jax.tree.map(lambda leaf, value: put(leaf, value, *place), tree, values)


def take_rows(buffer: jax.Array, start: jax.Array, number: int) -> jax.Array:
    """So many rows of `[rows, ...]`, from one on."""
    return lax.dynamic_slice_in_dim(buffer, start, number)


def add_rows(buffer: jax.Array, values: jax.Array, start: jax.Array) -> jax.Array:
    """The buffer with values added to as many rows, from one on."""
    values += take_rows(buffer, start, len(values))
    return lax.dynamic_update_slice_in_dim(buffer, values, start, 0)


def _start(buffer: jax.Array, place: tuple) -> list[jax.Array]:
    return [jnp.int32(index) for index in (*place, *[0] * (buffer.ndim - len(place)))]
