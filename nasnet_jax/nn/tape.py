"""A cell whose architecture is data: the tape of hidden states and its gradient.

The states of a cell lie in one buffer `[B + 2, batch, height, width, F]`. A loop over the blocks
reads two states by index, runs the chosen operations with `lax.switch`, and writes a new state. The
gradient walks the same tape backwards and recomputes the chosen operation only: automatic
differentiation would keep the intermediate values of all branches, and copy the buffer at each read.

A reduction cell's operations on its two inputs halve the size, all others do not. The former run first
(`nasnet_jax.nn.halving`) and the tape finds their results ready, so that a reduction cell and the normal
cells behind it have one tape and share its branches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from nasnet_jax.nn.layers import LayerConfig, Projection
from nasnet_jax.nn.operations import operation
from nasnet_jax.nn.packing import Packing, initial_slots, kernel_mask
from nasnet_jax.space import OPERATIONS, Cell

HALVES = 2
IDENTITY = OPERATIONS.index("identity")


class CellArrays(NamedTuple):
    """The architecture of one cell as arrays, or of a batch of cells with leading axes.

    Attributes:
      inputs: int32 `[B, 2]`, the states that a block's two operations read.
      operations: int32 `[B, 2]`, indices into `nasnet_jax.space.OPERATIONS`.
      halves: bool `[B, 2]`, whether the operation halves the size.
      concat: bool `[B]`, whether a block concatenates (and projects) instead of adding.
      outputs: float32 `[B + 2]`, 1 for the states that the cell's output concatenates, else 0.
    """

    inputs: Any
    operations: Any
    halves: Any
    concat: Any
    outputs: Any


class CellParameters(NamedTuple):
    """Parameters of one cell's blocks.

    Attributes:
      slots: `[B, 2, rows, F]`, for each block's two operations (see `packing`).
      projections: `[B, rows, F]`, for the 1x1 convolutions of blocks that concatenate.
    """

    slots: Any
    projections: Any


class Table(NamedTuple):
    """The 13 operations at one stride; static and hashable, so that equal ones share their packings.

    Attributes:
      features: F of the cell.
      stride: 1, or 2 for those that halve the size.
      config: what all layers have in common.
    """

    features: int
    stride: int
    config: LayerConfig

    @property
    def packings(self) -> Sequence[Packing]:
        """How the parameters of each operation lie in a slot."""
        return _packings(self)

    @property
    def branches(self) -> list[Callable[[jax.Array, jax.Array], jax.Array]]:
        """For each operation the function of `[batch, height, width, F]` and of its slot."""
        return [functools.partial(_apply, packing) for packing in self.packings]

    @property
    def gradients(self) -> list[Callable[..., tuple[jax.Array, jax.Array]]]:
        """For each operation, from its input, slot and cotangent the cotangents of the first two."""
        return [functools.partial(_gradient, branch) for branch in self.branches]


@functools.cache
def _packings(table: Table) -> tuple[Packing, ...]:
    def make(name: str) -> nnx.Module:
        features, stride, config = table
        rngs = nnx.Rngs(0)
        return operation(name, features, features, stride, config=config, rngs=rngs)

    return tuple(Packing(functools.partial(make, name)) for name in OPERATIONS)


def _apply(packing: Packing, x: jax.Array, flat: jax.Array) -> jax.Array:
    return packing.module(flat)(x)


def _gradient(branch: Callable, x: jax.Array, flat: jax.Array, g: jax.Array) -> tuple:
    _, vjp = jax.vjp(branch, x, flat)
    return vjp(g)


class Tape(NamedTuple):
    """The cells of a stage, which have one shape; static and hashable.

    Attributes:
      features: F of the cells.
      config: what all layers have in common.
    """

    features: int
    config: LayerConfig

    @property
    def table(self) -> Table:
        """The operations that keep the size."""
        return Table(self.features, 1, self.config)

    @property
    def halving(self) -> Table:
        """The operations that halve it, on the two inputs of a reduction cell."""
        return Table(self.features, 2, self.config)

    @property
    def packings(self) -> Sequence[Packing]:
        """Of all that a slot may hold; see `chosen`."""
        return (*self.table.packings, *self.halving.packings)

    @property
    def projection(self) -> Packing:
        """For blocks that concatenate."""
        return _projection_packing(self)

    @property
    def rows(self) -> int:
        """Of a slot: those of the largest operation."""
        return max(packing.rows for packing in self.packings)

    def shapes(self, num_cells: int, num_blocks: int) -> CellParameters:
        """Shapes and types of the parameters of so many cells, along a leading axis."""
        many, last = (num_cells, num_blocks), self.features
        return CellParameters(
            jax.ShapeDtypeStruct((*many, HALVES, self.rows, last), jnp.float32),
            jax.ShapeDtypeStruct((*many, self.projection.rows, last), jnp.float32),
        )

    def init(self, draws: CellParameters, cells: CellArrays) -> CellParameters:
        """Initial parameters from truncated normal numbers of deviation 1 in their shapes."""
        slots = initial_slots(self.packings, chosen(cells), draws.slots)
        projected = jnp.zeros(cells.concat.shape, jnp.int32)
        projections = initial_slots([self.projection], projected, draws.projections)
        return CellParameters(slots, projections)

    def kernels(self, cells: CellArrays) -> CellParameters:
        """1 where a parameter is a kernel in use, so that L2 decays it, else 0."""
        slots = kernel_mask(self.packings, chosen(cells), self.rows, self.features)
        projected = jnp.zeros(cells.concat.shape, jnp.int32)
        projections = kernel_mask([self.projection], projected, self.projection.rows, self.features)
        return CellParameters(slots, projections * cells.concat[..., None, None])


@functools.cache
def _projection_packing(tape: Tape) -> Packing:
    return Packing(lambda: Projection(tape.features, config=tape.config, rngs=nnx.Rngs(0)))


def chosen(cells: CellArrays) -> Any:
    """Which of a tape's `packings` each slot holds, `[..., B, 2]`."""
    return cells.operations + len(OPERATIONS) * cells.halves


def cell_arrays(cell: Cell, *, reduction: bool) -> CellArrays:
    """The arrays of a normal or a reduction cell, as NumPy would hold them."""
    blocks = cell.blocks
    index = {name: position for position, name in enumerate(OPERATIONS)}
    inputs = np.array([(b.left_input, b.right_input) for b in blocks], np.int32)
    outputs = np.zeros(len(blocks) + 2, np.float32)
    outputs[list(cell.outputs)] = 1.0
    return CellArrays(
        inputs=inputs,
        operations=np.array([(index[b.left_op], index[b.right_op]) for b in blocks], np.int32),
        halves=(inputs < 2) & reduction,
        concat=np.array([b.combine == "concat" for b in blocks]),
        outputs=outputs,
    )


# --- one block, forward and backward


def _operand(
    states: jax.Array, halved: jax.Array | None, index: jax.Array, ready: jax.Array, half: Any
) -> jax.Array:
    """What a branch reads: a state, or what an operation that halves has made."""
    if halved is None:
        return lax.dynamic_index_in_dim(states, index, keepdims=False)
    return lax.cond(
        ready,
        lambda: lax.dynamic_index_in_dim(halved, half, keepdims=False),
        lambda: lax.dynamic_index_in_dim(states, index, keepdims=False),
    )


def _branch(operation: jax.Array, ready: jax.Array) -> jax.Array:
    """The branch to take; what is ready passes through the identity."""
    return jnp.where(ready, IDENTITY, operation)


def _combine(tape: Tape, concat: jax.Array, flat: jax.Array, halves: jax.Array) -> jax.Array:
    """`[2, batch, height, width, F]` to a hidden state."""
    return lax.cond(
        concat,
        lambda flat, halves: tape.projection.module(flat)(halves[0], halves[1]),
        lambda flat, halves: halves[0] + halves[1],
        flat,
        halves,
    )


def _combine_gradient(
    tape: Tape, concat: jax.Array, flat: jax.Array, halves: jax.Array, g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    def concatenated(flat: jax.Array, halves: jax.Array, g: jax.Array) -> tuple:
        _, vjp = jax.vjp(lambda f, h: tape.projection.module(f)(h[0], h[1]), flat, halves)
        return vjp(g)

    def added(flat: jax.Array, halves: jax.Array, g: jax.Array) -> tuple:
        return jnp.zeros_like(flat), jnp.stack((g, g))

    return lax.cond(concat, concatenated, added, flat, halves, g)


# --- the tape


def _run(
    tape: Tape,
    parameters: CellParameters,
    cell: CellArrays,
    halved: jax.Array | None,
    states: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Returns the filled buffer and every block's two halves, `[B, 2, batch, height, width, F]`."""
    branches = tape.table.branches

    def block(states: jax.Array, step: tuple) -> tuple[jax.Array, jax.Array]:
        number, inputs, operations, ready, concat, slots, projection = step

        def half(_: None, slot: tuple) -> tuple[None, jax.Array]:
            place, index, operation, ready, flat = slot
            operand = _operand(states, halved, index, ready, HALVES * number + place)
            return None, lax.switch(_branch(operation, ready), branches, operand, flat)

        slot = (jnp.arange(HALVES), inputs, operations, ready, slots)
        _, halves = lax.scan(half, None, slot)
        state = _combine(tape, concat, projection, halves)
        return lax.dynamic_update_index_in_dim(states, state, number + 2, 0), halves

    return lax.scan(block, states, _steps(parameters, cell))


def _steps(parameters: CellParameters, cell: CellArrays) -> tuple:
    numbers = jnp.arange(cell.concat.shape[0])
    return (numbers, cell.inputs, cell.operations, cell.halves, cell.concat, *parameters)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def run_tape(
    tape: Tape,
    parameters: CellParameters,
    cell: CellArrays,
    halved: jax.Array | None,
    states: jax.Array,
) -> jax.Array:
    """Computes the hidden states of a cell.

    Args:
      tape: the kind of cell.
      parameters: of its blocks.
      cell: its architecture.
      halved: `[2 * B, batch, height, width, F]`, what those of a reduction cell's operations that
        halve the size have made (see `nasnet_jax.nn.halving`); None if no operation does.
      states: `[B + 2, batch, height, width, F]` with states 0 and 1 filled in (in a reduction cell:
        with what becomes of them if they are outputs).

    Returns:
      `states` with all states filled in.
    """
    return _run(tape, parameters, cell, halved, states)[0]


def _run_forward(
    tape: Tape,
    parameters: CellParameters,
    cell: CellArrays,
    halved: jax.Array | None,
    states: jax.Array,
) -> tuple[jax.Array, tuple]:
    states, halves = _run(tape, parameters, cell, halved, states)
    return states, (parameters, cell, halved, states, halves)


def _run_backward(tape: Tape, residuals: tuple, g: jax.Array) -> tuple:
    parameters, cell, halved, states, halves = residuals
    gradients = tape.table.gradients

    def block(g_states: jax.Array, step: tuple) -> tuple[jax.Array, tuple]:
        number, inputs, operations, ready, concat, slots, projection, computed = step
        g_state = lax.dynamic_index_in_dim(g_states, number + 2, keepdims=False)
        g_projection, g_halves = _combine_gradient(tape, concat, projection, computed, g_state)

        def half(g_states: jax.Array, slot: tuple) -> tuple[jax.Array, tuple]:
            place, index, operation, ready, flat, g_half = slot
            operand = _operand(states, halved, index, ready, HALVES * number + place)
            branch = _branch(operation, ready)
            g_operand, g_flat = lax.switch(branch, gradients, operand, flat, g_half)
            # What was ready has read no state.
            to_state = g_operand if halved is None else jnp.where(ready, 0.0, g_operand)
            to_halved = None if halved is None else jnp.where(ready, g_operand, 0.0)
            return add_at(g_states, to_state, index), (g_flat, to_halved)

        slot = (jnp.arange(HALVES), inputs, operations, ready, slots, g_halves)
        g_states, (g_slots, g_halved) = lax.scan(half, g_states, slot)
        return g_states, (CellParameters(g_slots, g_projection), g_halved)

    steps = (*_steps(parameters, cell), halves)
    g_states, (g_parameters, g_halved) = lax.scan(block, g, steps, reverse=True)
    if halved is not None:
        g_halved = g_halved.reshape(halved.shape)
    # The buffer's other states are written before they are read: nothing flows to what was there.
    return g_parameters, None, g_halved, g_states.at[2:].set(0.0)


run_tape.defvjp(_run_forward, _run_backward)


def add_at(total: jax.Array, part: jax.Array, index: jax.Array) -> jax.Array:
    """Adds to one of the arrays along the leading axis."""
    so_far = lax.dynamic_index_in_dim(total, index, keepdims=False)
    return lax.dynamic_update_index_in_dim(total, so_far + part, index, 0)
