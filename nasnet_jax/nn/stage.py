"""The cells of a stage, one after the other: the tape of hidden states and its gradient.

The states of all cells lie in one buffer `[cells, B + 2, batch, height, width, F]`. A loop over the
cells and their blocks reads two states by index, runs the layers of the chosen operations with
`lax.switch`, and writes a new state. The gradient walks the same tape backwards, where automatic
differentiation would keep the intermediate values of all branches. What each layer makes before its
normalization is kept (`nasnet_jax.nn.slot`), so that no layer is computed twice.

Values go from place to place in buffers that the loops carry, and are written once: stacked by `scan`,
each state would be copied at every level of loops, forward and backward, which took half of a child's
time on a CPU. For the same reason a cell's output is never put together inside a stage. The next cells
project it, and the projection of a concatenation is the sum of those of its parts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from nasnet_jax.nn.batch_axis import images, keep, on_kept
from nasnet_jax.nn.buffers import add, put, put_tree, take, take_tree
from nasnet_jax.nn.convolution import convolution
from nasnet_jax.nn.layer_table import LayerArrays
from nasnet_jax.nn.slot import Slot
from nasnet_jax.nn.tape import HALVES, CellArrays, CellParameters, Tape, chosen


class StageParameters(NamedTuple):
    """Parameters of the cells of a stage.

    Attributes:
      blocks: of their blocks.
      next: a dictionary of those of `ReluConvNorm` from cells' outputs to the inputs of later ones,
        `[cells - 1, 2, ...]`: at `[cell - 1, 0]` to a cell's current input, at `[cell - 1, 1]` to its
        previous one, which for the second cell is not used. None where there is one cell.
    """

    blocks: CellParameters
    next: Any


class StageInputs(NamedTuple):
    """What a stage gets from the network in front of it.

    Attributes:
      first: `[2, batch, height, width, F]`, states 0 and 1 of the first cell (of a reduction cell:
        what becomes of them if they are outputs).
      second: `[batch, height, width, F]`, state 1 of the second cell; None if there is none.
      halved: `[B, 2, batch, height, width, F]`, what those of a reduction cell's layers that
        halve the size have made (see `nasnet_jax.nn.halving`); None if the first cell is none.
    """

    first: Any
    second: Any
    halved: Any


class _Tracks(NamedTuple):
    """What the forward pass writes, and the backward pass reads.

    Attributes:
      states: `[cells, B + 2, ...]`, the hidden states.
      made: `[cells, B, 2, layers, ...]`, what the operations' layers make, before normalization.
      sums: `[cells - 1, 2, ...]`, projected outputs before they are normalized to states 0 and 1.
    """

    states: jax.Array
    made: jax.Array
    sums: jax.Array


class _Gradients(NamedTuple):
    """What the backward pass writes: cotangents of the tracks and of the parameters."""

    states: jax.Array
    halved: jax.Array | None
    slots: jax.Array
    projections: jax.Array
    kernels: jax.Array
    norms: Any


# --- a block: two operations, and what combines them


def _slot(tape: Tape, parameters: StageParameters, layers: LayerArrays, place: tuple) -> Slot:
    slots = parameters.blocks.slots
    return Slot(tape.table, place, take_tree(layers, *place), take(slots, *place))


def _operand(
    cells: CellArrays, halved: jax.Array | None, states: jax.Array, place: tuple
) -> jax.Array:
    """What an operation's first layer reads here: a state, or what the layers in front have made."""
    cell, number, which = place
    state = take(states, cell, take(cells.inputs, *place))
    if halved is None:
        return state
    return jnp.where(take(cells.halves, *place), take(halved, number, which), state)


def _combine(tape: Tape, concat: jax.Array, flat: jax.Array, halves: jax.Array) -> jax.Array:
    """`[2, batch, height, width, F]` to a hidden state."""
    return lax.cond(
        concat,
        functools.partial(_concatenation, tape),
        lambda flat, halves: halves[0] + halves[1],
        flat,
        halves,
    )


def _concatenation(tape: Tape, flat: jax.Array, halves: jax.Array) -> jax.Array:
    left, right = images(tape.config, halves)
    return keep(tape.config, tape.projection.module(flat)(left, right))


def _combine_gradient(
    tape: Tape, flat: jax.Array, halves: jax.Array, g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Of a concatenation."""
    _, vjp = jax.vjp(functools.partial(_concatenation, tape), flat, halves)
    return vjp(g)


# --- from a cell's output to the inputs of the two behind it


class _Outputs(NamedTuple):
    """Which states a cell's output concatenates: the first `number[cell]` of `order[cell]`."""

    order: jax.Array
    number: jax.Array


def _outputs(cells: CellArrays) -> _Outputs:
    order = jnp.argsort(cells.outputs, axis=-1, descending=True, stable=True)
    return _Outputs(order, cells.outputs.sum(-1).astype(jnp.int32))


def _parts(next_parameters: Any, num_states: int) -> jax.Array:
    """The kernels `[cells - 1, 2, 1, 1, (B + 2) * F, F]`, split by the states that they read."""
    if next_parameters is None:
        return jnp.zeros((0, 2, num_states, 0, 0))
    kernel = next_parameters["conv"]["kernel"]
    return kernel.reshape(*kernel.shape[:2], num_states, -1, kernel.shape[-1])


def _project_part(tape: Tape, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A part of a projection before normalization, in the type in which parts are added."""

    def project(x: jax.Array) -> jax.Array:
        return convolution(nnx.relu(x), kernel[None, None].astype(x.dtype), (1, 1), "SAME")

    y = on_kept(tape.config, project)(x)
    return y.astype(jnp.promote_types(y.dtype, jnp.float32))


def _normalize(tape: Tape, norm: Any, total: jax.Array, dtype: Any) -> jax.Array:
    module = nnx.merge(tape.table.norm.graphdef, norm)
    return on_kept(tape.config, module)(total.astype(dtype))


# --- the stage


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def run_stage(
    tape: Tape, parameters: StageParameters, cells: CellArrays, inputs: StageInputs
) -> tuple[jax.Array, jax.Array | None]:
    """Computes the hidden states of the cells of a stage.

    Args:
      tape: the kind of its cells.
      parameters: of them.
      cells: their architectures, along a leading axis.
      inputs: of the first two.

    Returns:
      The states of the last cell and of the one before it (None if there is none),
      `[B + 2, batch, height, width, F]` each. These and the inputs are in the order of
      `nasnet_jax.nn.batch_axis`.
    """
    return _ends(_run(tape, parameters, cells, inputs))


def _ends(tracks: _Tracks) -> tuple[jax.Array, jax.Array | None]:
    return tracks.states[-1], tracks.states[-2] if len(tracks.states) > 1 else None


def _run(
    tape: Tape, parameters: StageParameters, cells: CellArrays, inputs: StageInputs
) -> _Tracks:
    num_cells, num_blocks = cells.concat.shape
    num_states, size = num_blocks + 2, inputs.first.shape[1:]
    layers = tape.table.layers(chosen(cells))
    outputs = _outputs(cells)
    kernels = _parts(parameters.next, num_states)

    def buffer(*places: int) -> jax.Array:
        return jnp.zeros((*places, *size), inputs.first.dtype)

    states = put(buffer(num_cells, num_states), inputs.first[0], 0, 0)
    states = put(states, inputs.first[1], 0, 1)
    if inputs.second is not None:
        states = put(states, inputs.second, 1, 1)
    made = buffer(num_cells, num_blocks, HALVES, layers.kind.shape[-1])
    tracks = _Tracks(states, made, buffer(num_cells - 1, 2))

    def block(cell: jax.Array, number: jax.Array, carry: tuple) -> tuple[_Tracks, jax.Array]:
        tracks, halves = carry

        def half(which: jax.Array, so_far: tuple) -> tuple[jax.Array, jax.Array]:
            halves, made = so_far
            place = (cell, number, which)
            operand = _operand(cells, inputs.halved, tracks.states, place)
            x, made = _slot(tape, parameters, layers, place).run(operand, made)
            return put(halves, x, which), made

        halves, made = lax.fori_loop(0, HALVES, half, (halves, tracks.made))
        state = _combine(
            tape,
            take(cells.concat, cell, number),
            take(parameters.blocks.projections, cell, number),
            halves,
        )
        states = put(tracks.states, state, cell, number + 2)
        return tracks._replace(states=states, made=made), halves

    def project(cell: jax.Array, distance: jax.Array, tracks: _Tracks) -> _Tracks:
        """To the current input of the next cell (distance 0), or the previous one of that after it."""
        place = (cell + distance, distance)

        def add_part(count: jax.Array, total: jax.Array) -> jax.Array:
            state = outputs.order[cell, count]
            x, kernel = take(tracks.states, cell, state), take(kernels, *place, state)
            part = _project_part(tape, x, kernel)
            return total + part

        dtype = tracks.states.dtype
        zeros = jnp.zeros(size, jnp.promote_types(dtype, jnp.float32))
        total = lax.fori_loop(0, outputs.number[cell], add_part, zeros).astype(dtype)
        norm = take_tree(parameters.next["norm"], *place)
        state = _normalize(tape, norm, total, dtype)
        return tracks._replace(
            states=put(tracks.states, state, cell + distance + 1, distance),
            sums=put(tracks.sums, total, *place),
        )

    def step(cell: jax.Array, carry: tuple) -> tuple[_Tracks, jax.Array]:
        tracks, halves = lax.fori_loop(0, num_blocks, functools.partial(block, cell), carry)
        if num_cells == 1:
            return tracks, halves
        behind = jnp.minimum(2, num_cells - 1 - cell)
        return lax.fori_loop(0, behind, functools.partial(project, cell), tracks), halves

    return lax.fori_loop(0, num_cells, step, (tracks, buffer(HALVES)))[0]


def _forward(
    tape: Tape, parameters: StageParameters, cells: CellArrays, inputs: StageInputs
) -> tuple[tuple[jax.Array, jax.Array | None], tuple]:
    tracks = _run(tape, parameters, cells, inputs)
    return _ends(tracks), (parameters, cells, inputs.halved, tracks)


def _backward(tape: Tape, residuals: tuple, g_ends: tuple) -> tuple:
    parameters, cells, halved, tracks = residuals
    num_cells, num_blocks = cells.concat.shape
    num_states, dtype = num_blocks + 2, tracks.states.dtype
    layers = tape.table.layers(chosen(cells))
    outputs = _outputs(cells)
    kernels = _parts(parameters.next, num_states)

    def block(cell: jax.Array, count: jax.Array, found: _Gradients) -> _Gradients:
        number = num_blocks - 1 - count

        def slot_at(which: jax.Array) -> tuple[Slot, Callable[[], jax.Array]]:
            """A slot, and what it has read."""
            place = (cell, number, which)
            operand = functools.partial(_operand, cells, halved, tracks.states, place)
            return _slot(tape, parameters, layers, place), operand

        def concatenated(flat: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
            def again(which: jax.Array, halves: jax.Array) -> jax.Array:
                slot, operand = slot_at(which)
                return put(halves, slot.output(operand, tracks.made), which)

            halves = jnp.zeros((HALVES, *g.shape), dtype)
            halves = lax.fori_loop(0, HALVES, again, halves)
            return _combine_gradient(tape, flat, halves, g)

        g_projection, g_halves = lax.cond(
            take(cells.concat, cell, number),
            concatenated,
            lambda flat, g: (jnp.zeros_like(flat), jnp.stack((g, g))),
            take(parameters.blocks.projections, cell, number),
            take(found.states, cell, number + 2),
        )

        def half(which: jax.Array, found: _Gradients) -> _Gradients:
            slot, operand = slot_at(which)
            place = slot.place
            g_operand, g_slot = slot.gradient(operand, tracks.made, take(g_halves, which))
            found = found._replace(slots=put(found.slots, g_slot, *place))
            if found.halved is not None:
                # The first cell comes last, and its cotangents remain.
                ready = take(cells.halves, *place)
                found = found._replace(halved=put(found.halved, g_operand, number, which))
                g_operand = jnp.where(ready, 0.0, g_operand)
            return found._replace(
                states=add(found.states, g_operand, cell, take(cells.inputs, *place))
            )

        found = lax.fori_loop(0, HALVES, half, found)
        return found._replace(projections=put(found.projections, g_projection, cell, number))

    def project(cell: jax.Array, distance: jax.Array, found: _Gradients) -> _Gradients:
        """Of what made a cell's current input (distance 0), or its previous one."""
        place, source = (cell - 1, distance), cell - 1 - distance
        norm, total = take_tree(parameters.next["norm"], *place), take(tracks.sums, *place)
        _, normalize_vjp = jax.vjp(
            lambda norm, total: _normalize(tape, norm, total, dtype), norm, total
        )
        g_norm, g_total = normalize_vjp(take(found.states, cell, distance))

        def add_part(count: jax.Array, so_far: tuple) -> tuple:
            g_states, g_kernels = so_far
            state = outputs.order[source, count]
            x, kernel = take(tracks.states, source, state), take(kernels, *place, state)
            _, vjp = jax.vjp(functools.partial(_project_part, tape), x, kernel)
            g_state, g_kernel = vjp(g_total.astype(jnp.promote_types(dtype, jnp.float32)))
            return add(g_states, g_state, source, state), put(g_kernels, g_kernel, *place, state)

        so_far = (found.states, found.kernels)
        so_far = lax.fori_loop(0, outputs.number[source], add_part, so_far)
        norms = put_tree(found.norms, g_norm, *place)
        return found._replace(states=so_far[0], kernels=so_far[1], norms=norms)

    def step(count: jax.Array, found: _Gradients) -> _Gradients:
        cell = num_cells - 1 - count
        found = lax.fori_loop(0, num_blocks, functools.partial(block, cell), found)
        if num_cells == 1:
            return found
        in_front = jnp.minimum(2, cell)
        return lax.fori_loop(0, in_front, functools.partial(project, cell), found)

    g_states = put(jnp.zeros_like(tracks.states), g_ends[0], num_cells - 1)
    if num_cells > 1:
        g_states = put(g_states, g_ends[1], num_cells - 2)
    found = _Gradients(
        states=g_states,
        halved=None if halved is None else jnp.zeros_like(halved),
        slots=jnp.zeros_like(parameters.blocks.slots),
        projections=jnp.zeros_like(parameters.blocks.projections),
        kernels=jnp.zeros_like(kernels),
        norms=jax.tree.map(jnp.zeros_like, parameters.next and parameters.next["norm"]),
    )
    found = lax.fori_loop(0, num_cells, step, found)
    g_next = None
    if num_cells > 1:
        kernel_shape = parameters.next["conv"]["kernel"].shape
        g_next = {"conv": {"kernel": found.kernels.reshape(kernel_shape)}, "norm": found.norms}
    g_halved = None
    if tape.reduces:
        ready = cells.halves[0][..., None, None, None, None]
        g_halved = jnp.where(ready, found.halved, 0.0)
    g_inputs = StageInputs(
        first=found.states[0, :2],
        second=found.states[1, 1] if num_cells > 1 else None,
        halved=g_halved,
    )
    blocks = CellParameters(found.slots, found.projections)
    return StageParameters(blocks, g_next), None, g_inputs


run_stage.defvjp(_forward, _backward)
