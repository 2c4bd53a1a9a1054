"""The layers of a reduction cell that halve the size, all of which read its two inputs.

They do not wait for each other, so they run in front of the tape, in a loop over those that there are.
What is left of their operations, the second layer of a separable convolution, runs on the tape.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasnet_jax.nn.batch_axis import spatial_axes
from nasnet_jax.nn.buffers import add, add_rows, put, take, take_rows
from nasnet_jax.nn.layer_table import LayerTable
from nasnet_jax.nn.tape import CellArrays, chosen


class _Operations(NamedTuple):
    """What a cell's operations halve, with the slots `2 * block + half` along the leading axis.

    Attributes:
      order: the slots of operations that halve the size, and then the others.
      number: how many do.
      inputs: the states that they read.
      operations: indices into `nasnet_jax.space.OPERATIONS`.
      norms: the rows of the normalization that ends what halves the size; see `LayerArrays`.
    """

    order: jax.Array
    number: jax.Array
    inputs: jax.Array
    operations: jax.Array
    norms: jax.Array


def _operations(table: LayerTable, cell: CellArrays) -> _Operations:
    halves = cell.halves.reshape(-1)
    layers = table.layers(chosen(cell))
    last = jnp.maximum(layers.halving - 1, 0)[..., None]
    norms = jnp.take_along_axis(layers.norm, last, axis=-1)
    return _Operations(
        order=jnp.argsort(~halves, stable=True),
        number=halves.sum(),
        inputs=cell.inputs.reshape(-1),
        operations=cell.operations.reshape(-1),
        norms=norms.reshape(-1),
    )


def _norm(
    table: LayerTable, found: _Operations, place: jax.Array, slot: jax.Array
) -> tuple[jax.Array, jax.Array]:
    norm = found.norms[place]
    return norm, take_rows(slot, jnp.maximum(norm, 0), table.norm_rows)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def run_halving(
    table: LayerTable, slots: jax.Array, cell: CellArrays, inputs: jax.Array
) -> jax.Array:
    """What the layers that halve the size make of a reduction cell's inputs.

    Args:
      table: of the cell's layers.
      slots: `[B, 2, rows, F]`, the parameters of the cell's operations.
      cell: its architecture.
      inputs: `[2, batch, height, width, F]`, states 0 and 1.

    Returns:
      `[B, 2, batch, ceil(height / 2), ceil(width / 2), F]`; 0 where the operation does not halve.
      Both in the order of `nasnet_jax.nn.batch_axis`.
    """
    return _run(table, slots, cell, inputs)[0]


def _run(
    table: LayerTable, slots: jax.Array, cell: CellArrays, inputs: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The result, and the same before normalization, `[2 * B, ...]`."""
    found = _operations(table, cell)
    size = list(inputs.shape[1:])
    for axis in spatial_axes(table.config):
        size[axis] = -(-size[axis] // 2)
    flat = slots.reshape(-1, *slots.shape[2:])

    def step(count: jax.Array, carry: tuple) -> tuple[jax.Array, jax.Array]:
        halved, sums = carry
        place = found.order[count]
        slot, x = take(flat, place), take(inputs, found.inputs[place])
        total = table.halve(found.operations[place], x, slot)
        norm, norm_rows = _norm(table, found, place, slot)
        y = table.normalize(norm, total, norm_rows)
        return put(halved, y, place), put(sums, total, place)

    zeros = jnp.zeros((len(flat), *size), inputs.dtype)
    halved, sums = lax.fori_loop(0, found.number, step, (zeros, zeros))
    return halved.reshape(*cell.halves.shape, *size), sums


def _forward(
    table: LayerTable, slots: jax.Array, cell: CellArrays, inputs: jax.Array
) -> tuple[jax.Array, tuple]:
    halved, sums = _run(table, slots, cell, inputs)
    return halved, (slots, cell, inputs, sums)


def _backward(table: LayerTable, residuals: tuple, g: jax.Array) -> tuple:
    slots, cell, inputs, sums = residuals
    found = _operations(table, cell)
    g = g.reshape(-1, *g.shape[2:])
    flat = slots.reshape(-1, *slots.shape[2:])

    def step(count: jax.Array, totals: tuple) -> tuple[jax.Array, jax.Array]:
        g_slots, g_inputs = totals
        place = found.order[count]
        slot, state = take(flat, place), found.inputs[place]
        norm, norm_rows = _norm(table, found, place, slot)
        g_total, g_norm = table.normalize_gradient(
            norm, take(sums, place), norm_rows, take(g, place)
        )
        g_x, g_slot = table.halve_gradient(
            found.operations[place], take(inputs, state), slot, g_total
        )
        g_slot = add_rows(g_slot, g_norm, jnp.maximum(norm, 0))
        return put(g_slots, g_slot, place), add(g_inputs, g_x, state)

    start = jnp.zeros_like(flat), jnp.zeros_like(inputs)
    g_slots, g_inputs = lax.fori_loop(0, found.number, step, start)
    return g_slots.reshape(slots.shape), None, g_inputs


run_halving.defvjp(_forward, _backward)
