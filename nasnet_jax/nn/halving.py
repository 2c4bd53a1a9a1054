"""The operations of a reduction cell that halve the size, all of which read its two inputs.

They do not wait for each other, so they run in front of the tape, in a loop over those that there are.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from nasnet_jax.nn.tape import HALVES, CellArrays, Table


def _order(cell: CellArrays) -> tuple[jax.Array, jax.Array]:
    """The slots `2 * block + half`, those that halve in front, and how many do."""
    halves = cell.halves.reshape(-1)
    return jnp.argsort(~halves, stable=True), halves.sum()


def _slot(cell: CellArrays, slots: jax.Array, number: jax.Array) -> tuple:
    """Of one slot: the input that it reads, its operation and its parameters."""
    return (
        cell.inputs.reshape(-1)[number],
        cell.operations.reshape(-1)[number],
        lax.dynamic_index_in_dim(slots.reshape(-1, *slots.shape[2:]), number, keepdims=False),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def run_halving(table: Table, slots: jax.Array, cell: CellArrays, inputs: jax.Array) -> jax.Array:
    """What the operations that halve the size make of a reduction cell's inputs.

    Args:
      table: the operations at stride 2.
      slots: `[B, 2, rows, F]`, the parameters of the cell's operations.
      cell: its architecture.
      inputs: `[2, batch, height, width, F]`, states 0 and 1.

    Returns:
      `[B, 2, batch, ceil(height / 2), ceil(width / 2), F]`; 0 where the operation does not halve.
    """
    order, number = _order(cell)
    _, batch, height, width, features = inputs.shape
    size = (HALVES * cell.concat.shape[0], batch, -(-height // 2), -(-width // 2), features)

    def step(count: jax.Array, halved: jax.Array) -> jax.Array:
        place = order[count]
        index, operation, flat = _slot(cell, slots, place)
        x = lax.dynamic_index_in_dim(inputs, index, keepdims=False)
        y = lax.switch(operation, table.branches, x, flat)
        return lax.dynamic_update_index_in_dim(halved, y, place, 0)

    halved = lax.fori_loop(0, number, step, jnp.zeros(size, inputs.dtype))
    return halved.reshape(*cell.halves.shape, *size[1:])


def _forward(
    table: Table, slots: jax.Array, cell: CellArrays, inputs: jax.Array
) -> tuple[jax.Array, tuple]:
    return run_halving(table, slots, cell, inputs), (slots, cell, inputs)


def _backward(table: Table, residuals: tuple, g: jax.Array) -> tuple:
    slots, cell, inputs = residuals
    order, number = _order(cell)
    g = g.reshape(-1, *g.shape[2:])

    def step(count: jax.Array, totals: tuple) -> tuple[jax.Array, jax.Array]:
        g_slots, g_inputs = totals
        place = order[count]
        index, operation, flat = _slot(cell, slots, place)
        x = lax.dynamic_index_in_dim(inputs, index, keepdims=False)
        g_y = lax.dynamic_index_in_dim(g, place, keepdims=False)
        g_x, g_flat = lax.switch(operation, table.gradients, x, flat, g_y)
        g_slots = lax.dynamic_update_index_in_dim(g_slots, g_flat, place, 0)
        return g_slots, g_inputs.at[index].add(g_x)

    start = jnp.zeros((g.shape[0], *slots.shape[2:]), slots.dtype), jnp.zeros_like(inputs)
    g_slots, g_inputs = lax.fori_loop(0, number, step, start)
    return g_slots.reshape(slots.shape), None, g_inputs


run_halving.defvjp(_forward, _backward)
