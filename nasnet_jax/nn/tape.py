"""A cell whose architecture is data: the tape of hidden states and its gradient.

The states of a cell lie in one buffer `[B + 2, batch, height, width, F]`. A loop over the blocks
reads two states by index, runs the chosen operations with `lax.switch`, and writes a new state. The
gradient walks the same tape backwards and recomputes the chosen operation only: automatic
differentiation would keep the intermediate values of all branches, and copy the buffer at each read.
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
from nasnet_jax.nn.packing import Packing
from nasnet_jax.space import OPERATIONS, Cell

HALVES = 2


class CellArrays(NamedTuple):
    """The architecture of one cell as arrays, or of a batch of cells with leading axes.

    Attributes:
      inputs: int32 `[B, 2]`, the states that a block's two operations read.
      operations: int32 `[B, 2]`, indices into `nasnet_jax.space.OPERATIONS`.
      concat: bool `[B]`, whether a block concatenates (and projects) instead of adding.
      outputs: float32 `[B + 2]`, 1 for the states that the cell's output concatenates, else 0.
    """

    inputs: Any
    operations: Any
    concat: Any
    outputs: Any


class CellParameters(NamedTuple):
    """Parameters of one cell's blocks.

    Attributes:
      slots: `[B, 2, width]`, for each block's two operations (see `packing`).
      projections: `[B, size]`, for the 1x1 convolutions of blocks that concatenate.
    """

    slots: Any
    projections: Any


class Tape(NamedTuple):
    """A kind of cell; static and hashable, so that equal kinds share their tables.

    Attributes:
      features: F of the cell.
      reduction: whether operations on states 0 and 1 halve the size.
      config: what all layers have in common.
    """

    features: int
    reduction: bool
    config: LayerConfig

    @property
    def packings(self) -> Sequence[Packing]:
        """For each branch of the switch: the operations at stride 1, in a reduction also at 2."""
        return _packings(self)

    @property
    def projection(self) -> Packing:
        """For blocks that concatenate."""
        return _projection_packing(self)

    @property
    def width(self) -> int:
        """Numbers in a slot: those of the largest operation."""
        return max(packing.size for packing in self.packings)

    def shapes(self, num_blocks: int) -> CellParameters:
        """Shapes and types of the parameters of a cell with so many blocks."""
        return CellParameters(
            jax.ShapeDtypeStruct((num_blocks, HALVES, self.width), jnp.float32),
            jax.ShapeDtypeStruct((num_blocks, self.projection.size), jnp.float32),
        )

    def branch(self, operation_index: Any, state: Any) -> Any:
        """Which branch runs this operation on this state."""
        if not self.reduction:
            return operation_index
        return operation_index + len(OPERATIONS) * (state < 2)


@functools.cache
def _packings(tape: Tape) -> tuple[Packing, ...]:
    def make(name: str, stride: int) -> nnx.Module:
        rngs = nnx.Rngs(0)
        return operation(name, tape.features, tape.features, stride, config=tape.config, rngs=rngs)

    return tuple(
        Packing(functools.partial(make, name, stride))
        for stride in ((1, 2) if tape.reduction else (1,))
        for name in OPERATIONS
    )


@functools.cache
def _projection_packing(tape: Tape) -> Packing:
    return Packing(lambda: Projection(tape.features, config=tape.config, rngs=nnx.Rngs(0)))


def cell_arrays(cell: Cell) -> CellArrays:
    """The arrays of a cell, as NumPy would hold them."""
    blocks = cell.blocks
    index = {name: position for position, name in enumerate(OPERATIONS)}
    outputs = np.zeros(len(blocks) + 2, np.float32)
    outputs[list(cell.outputs)] = 1.0
    return CellArrays(
        inputs=np.array([(b.left_input, b.right_input) for b in blocks], np.int32),
        operations=np.array([(index[b.left_op], index[b.right_op]) for b in blocks], np.int32),
        concat=np.array([b.combine == "concat" for b in blocks]),
        outputs=outputs,
    )


def init_cell(tape: Tape, draws: CellParameters, cell: CellArrays) -> CellParameters:
    """Initial parameters of a cell with this architecture.

    Args:
      tape: the kind of cell.
      draws: truncated normal numbers of deviation 1 in the parameters' shapes.
      cell: its architecture.
    """
    table = [packing.initial for packing in tape.packings]
    branches = tape.branch(cell.operations, cell.inputs).reshape(-1)

    def slot(arguments: tuple[jax.Array, jax.Array]) -> jax.Array:
        return lax.switch(arguments[0], table, arguments[1])

    slots = lax.map(slot, (branches, draws.slots.reshape(-1, tape.width)))
    projections = jax.vmap(tape.projection.initial)(draws.projections)
    return CellParameters(slots.reshape(draws.slots.shape), projections)


def kernel_mask(tape: Tape, cell: CellArrays) -> CellParameters:
    """1 where a parameter is a kernel of the chosen operation, so that L2 decays it, else 0."""
    sizes = jnp.array([packing.kernel_size for packing in tape.packings])
    chosen = sizes[tape.branch(cell.operations, cell.inputs)]
    slots = jnp.arange(tape.width) < chosen[..., None]
    projection = jnp.arange(tape.projection.size) < tape.projection.kernel_size
    return CellParameters(
        slots.astype(jnp.float32), (projection & cell.concat[:, None]).astype(jnp.float32)
    )


# --- one half of a block, forward and backward


def _operand(tape: Tape, full: jax.Array | None, states: jax.Array, index: jax.Array) -> tuple:
    """What a branch reads: the state, and in a reduction cell also the full-size input."""
    state = lax.dynamic_index_in_dim(states, index, keepdims=False)
    if not tape.reduction:
        return (state,)
    return (state, lax.dynamic_index_in_dim(full, jnp.minimum(index, 1), keepdims=False))


def _branches(tape: Tape) -> list[Callable]:
    def run(packing: Packing, source: int, operand: tuple, flat: jax.Array) -> jax.Array:
        return packing.module(flat)(operand[source])

    # The second half of a reduction's table reads the full-size input.
    return [
        functools.partial(run, packing, number // len(OPERATIONS))
        for number, packing in enumerate(tape.packings)
    ]


def _gradients(tape: Tape) -> list[Callable]:
    def run(branch: Callable, operand: tuple, flat: jax.Array, g: jax.Array) -> tuple:
        _, vjp = jax.vjp(branch, operand, flat)
        return vjp(g)

    return [functools.partial(run, branch) for branch in _branches(tape)]


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
    full: jax.Array | None,
    states: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Returns the filled buffer and every block's two halves, `[B, 2, batch, height, width, F]`."""
    branches = _branches(tape)

    def block(states: jax.Array, step: tuple) -> tuple[jax.Array, jax.Array]:
        number, inputs, operations, concat, slots, projection = step

        def half(_: None, slot: tuple) -> tuple[None, jax.Array]:
            index, chosen, flat = slot
            operand = _operand(tape, full, states, index)
            return None, lax.switch(tape.branch(chosen, index), branches, operand, flat)

        _, halves = lax.scan(half, None, (inputs, operations, slots))
        state = _combine(tape, concat, projection, halves)
        return lax.dynamic_update_index_in_dim(states, state, number + 2, 0), halves

    numbers = jnp.arange(cell.concat.shape[0])
    steps = (numbers, cell.inputs, cell.operations, cell.concat, *parameters)
    return lax.scan(block, states, steps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def run_tape(
    tape: Tape,
    parameters: CellParameters,
    cell: CellArrays,
    full: jax.Array | None,
    states: jax.Array,
) -> jax.Array:
    """Computes the hidden states of a cell.

    Args:
      tape: the kind of cell.
      parameters: of its blocks.
      cell: its architecture.
      full: `[2, batch, height, width, F]`, the inputs of a reduction cell before halving, or None.
      states: `[B + 2, batch, height, width, F]` with states 0 and 1 filled in (in a reduction cell:
        with what becomes of them if they are outputs).

    Returns:
      `states` with all states filled in.
    """
    return _run(tape, parameters, cell, full, states)[0]


def _run_forward(
    tape: Tape,
    parameters: CellParameters,
    cell: CellArrays,
    full: jax.Array | None,
    states: jax.Array,
) -> tuple[jax.Array, tuple]:
    states, halves = _run(tape, parameters, cell, full, states)
    return states, (parameters, cell, full, states, halves)


def _run_backward(tape: Tape, residuals: tuple, g: jax.Array) -> tuple:
    parameters, cell, full, states, halves = residuals
    gradients = _gradients(tape)

    def block(carry: tuple, step: tuple) -> tuple[tuple, CellParameters]:
        number, inputs, operations, concat, slots, projection, computed = step
        g_state = lax.dynamic_index_in_dim(carry[0], number + 2, keepdims=False)
        g_projection, g_halves = _combine_gradient(tape, concat, projection, computed, g_state)

        def half(carry: tuple, slot: tuple) -> tuple[tuple, jax.Array]:
            index, chosen, flat, g_half = slot
            operand = _operand(tape, full, states, index)
            branch = tape.branch(chosen, index)
            g_operand, g_flat = lax.switch(branch, gradients, operand, flat, g_half)
            # The state first, then in a reduction cell the full-size input.
            places = (index, jnp.minimum(index, 1))
            carry = tuple(
                _add_at(total, part, place)
                for total, part, place in zip(carry, g_operand, places, strict=False)
            )
            return carry, g_flat

        carry, g_slots = lax.scan(half, carry, (inputs, operations, slots, g_halves))
        return carry, CellParameters(g_slots, g_projection)

    start = (g,) if full is None else (g, jnp.zeros_like(full))
    numbers = jnp.arange(cell.concat.shape[0])
    steps = (numbers, cell.inputs, cell.operations, cell.concat, *parameters, halves)
    totals, g_parameters = lax.scan(block, start, steps, reverse=True)
    g_full = None if full is None else totals[-1]
    # The buffer's other states are written before they are read: nothing flows to what was there.
    return g_parameters, None, g_full, totals[0].at[2:].set(0.0)


def _add_at(total: jax.Array, part: jax.Array, index: jax.Array) -> jax.Array:
    so_far = lax.dynamic_index_in_dim(total, index, keepdims=False)
    return lax.dynamic_update_index_in_dim(total, so_far + part, index, 0)


run_tape.defvjp(_run_forward, _run_backward)
