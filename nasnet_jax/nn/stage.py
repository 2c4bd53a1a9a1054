"""The cells of a stage, one after the other: the tape of hidden states and its gradient.

The states of all cells lie in one buffer `[cells, B + 2, batch, height, width, F]`. A loop over the
cells and their blocks reads two states by index, runs the chosen operations with `lax.switch`, and
writes a new state. The gradient walks the same tape backwards and recomputes the chosen operation only:
automatic differentiation would keep the intermediate values of all branches.

Values go from place to place in buffers that the loops carry, and are written once: stacked by `scan`,
each state would be copied at every level of loops, forward and backward, which took half of a child's
time on a CPU. For the same reason a cell's output is never put together inside a stage. The next cells
project it, and the projection of a concatenation is the sum of those of its parts.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from nasnet_jax.nn.convolution import convolution
from nasnet_jax.nn.layers import BatchNorm
from nasnet_jax.nn.tape import HALVES, CellArrays, CellParameters, Tape
from nasnet_jax.space import OPERATIONS

IDENTITY = OPERATIONS.index("identity")


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
      halved: `[B, 2, batch, height, width, F]`, what those of a reduction cell's operations that
        halve the size have made (see `nasnet_jax.nn.halving`); None if the first cell is none.
    """

    first: Any
    second: Any
    halved: Any


class _Tracks(NamedTuple):
    """What the forward pass writes, and the backward pass reads.

    Attributes:
      states: `[cells, B + 2, ...]`, the hidden states.
      halves: `[cells, B, 2, ...]`, what the operations made, before they are combined.
      sums: `[cells - 1, 2, ...]`, projected outputs before they are normalized to states 0 and 1.
    """

    states: jax.Array
    halves: jax.Array
    sums: jax.Array


class _Gradients(NamedTuple):
    """What the backward pass writes: cotangents of the tracks and of the parameters."""

    states: jax.Array
    halved: jax.Array | None
    slots: jax.Array
    projections: jax.Array
    kernels: jax.Array
    norms: Any


# --- places of a buffer, by the indices of its leading axes


def _start(buffer: jax.Array, place: tuple) -> list[jax.Array]:
    return [jnp.int32(index) for index in (*place, *[0] * (buffer.ndim - len(place)))]


def _take(buffer: jax.Array, *place: Any) -> jax.Array:
    rest, ones = buffer.shape[len(place) :], [1] * len(place)
    return lax.dynamic_slice(buffer, _start(buffer, place), (*ones, *rest)).reshape(rest)


def _put(buffer: jax.Array, value: jax.Array, *place: Any) -> jax.Array:
    value = value.reshape(*[1] * len(place), *value.shape)
    return lax.dynamic_update_slice(buffer, value, _start(buffer, place))


def _add(buffer: jax.Array, value: jax.Array, *place: Any) -> jax.Array:
    return _put(buffer, _take(buffer, *place) + value, *place)


def _take_tree(tree: Any, *place: Any) -> Any:
    return jax.tree.map(lambda leaf: _take(leaf, *place), tree)


def _put_tree(tree: Any, values: Any, *place: Any) -> Any:
    return jax.tree.map(lambda leaf, value: _put(leaf, value, *place), tree, values)


# --- a block: two operations, and what combines them


def _operand(tape: Tape, tracks: _Tracks, cells: CellArrays, place: tuple) -> jax.Array:
    """What an operation reads: a state, or what it has made already, for the identity."""
    state = _take(tracks.states, place[0], _take(cells.inputs, *place))
    if not tape.reduces:
        return state
    return jnp.where(_take(cells.halves, *place), _take(tracks.halves, *place), state)


def _branch(cells: CellArrays, place: tuple) -> jax.Array:
    return jnp.where(_take(cells.halves, *place), IDENTITY, _take(cells.operations, *place))


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


def _project_part(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A part of a projection before normalization, in the type in which parts are added."""
    y = convolution(nnx.relu(x), kernel[None, None].astype(x.dtype), (1, 1), "SAME")
    return y.astype(jnp.promote_types(y.dtype, jnp.float32))


def _normalize(tape: Tape, norm: Any, total: jax.Array, dtype: Any) -> jax.Array:
    return nnx.merge(_norm_graph(tape), norm)(total.astype(dtype))


@functools.cache
def _norm_graph(tape: Tape) -> nnx.GraphDef:
    make = functools.partial(BatchNorm, tape.features, config=tape.config)
    return nnx.graphdef(nnx.eval_shape(make))


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
      `[B + 2, batch, height, width, F]` each.
    """
    return _ends(_run(tape, parameters, cells, inputs))


def _ends(tracks: _Tracks) -> tuple[jax.Array, jax.Array | None]:
    return tracks.states[-1], tracks.states[-2] if len(tracks.states) > 1 else None


def _run(
    tape: Tape, parameters: StageParameters, cells: CellArrays, inputs: StageInputs
) -> _Tracks:
    num_cells, num_blocks = cells.concat.shape
    num_states, size = num_blocks + 2, inputs.first.shape[1:]
    branches = tape.table.branches
    outputs = _outputs(cells)
    kernels = _parts(parameters.next, num_states)

    def buffer(*places: int) -> jax.Array:
        return jnp.zeros((*places, *size), inputs.first.dtype)

    states = _put(buffer(num_cells, num_states), inputs.first[0], 0, 0)
    states = _put(states, inputs.first[1], 0, 1)
    if inputs.second is not None:
        states = _put(states, inputs.second, 1, 1)
    halves = buffer(num_cells, num_blocks, HALVES)
    if tape.reduces:
        halves = _put(halves, inputs.halved, 0)
    tracks = _Tracks(states, halves, buffer(num_cells - 1, 2))

    def block(cell: jax.Array, number: jax.Array, tracks: _Tracks) -> _Tracks:
        def half(which: jax.Array, tracks: _Tracks) -> _Tracks:
            place = (cell, number, which)
            operand = _operand(tape, tracks, cells, place)
            slot = _take(parameters.blocks.slots, *place)
            made = lax.switch(_branch(cells, place), branches, operand, slot)
            return tracks._replace(halves=_put(tracks.halves, made, *place))

        tracks = lax.fori_loop(0, HALVES, half, tracks)
        state = _combine(
            tape,
            _take(cells.concat, cell, number),
            _take(parameters.blocks.projections, cell, number),
            _take(tracks.halves, cell, number),
        )
        return tracks._replace(states=_put(tracks.states, state, cell, number + 2))

    def project(cell: jax.Array, distance: jax.Array, tracks: _Tracks) -> _Tracks:
        """To the current input of the next cell (distance 0), or the previous one of that after it."""
        place = (cell + distance, distance)

        def add_part(count: jax.Array, total: jax.Array) -> jax.Array:
            state = outputs.order[cell, count]
            part = _project_part(_take(tracks.states, cell, state), _take(kernels, *place, state))
            return total + part

        dtype = tracks.states.dtype
        zeros = jnp.zeros(size, jnp.promote_types(dtype, jnp.float32))
        total = lax.fori_loop(0, outputs.number[cell], add_part, zeros).astype(dtype)
        norm = _take_tree(parameters.next["norm"], *place)
        state = _normalize(tape, norm, total, dtype)
        return tracks._replace(
            states=_put(tracks.states, state, cell + distance + 1, distance),
            sums=_put(tracks.sums, total, *place),
        )

    def step(cell: jax.Array, tracks: _Tracks) -> _Tracks:
        tracks = lax.fori_loop(0, num_blocks, functools.partial(block, cell), tracks)
        if num_cells == 1:
            return tracks
        behind = jnp.minimum(2, num_cells - 1 - cell)
        return lax.fori_loop(0, behind, functools.partial(project, cell), tracks)

    return lax.fori_loop(0, num_cells, step, tracks)


def _forward(
    tape: Tape, parameters: StageParameters, cells: CellArrays, inputs: StageInputs
) -> tuple[tuple[jax.Array, jax.Array | None], tuple]:
    tracks = _run(tape, parameters, cells, inputs)
    return _ends(tracks), (parameters, cells, tracks)


def _backward(tape: Tape, residuals: tuple, g_ends: tuple) -> tuple:
    parameters, cells, tracks = residuals
    num_cells, num_blocks = cells.concat.shape
    num_states, dtype = num_blocks + 2, tracks.states.dtype
    gradients = tape.table.gradients
    outputs = _outputs(cells)
    kernels = _parts(parameters.next, num_states)

    def block(cell: jax.Array, count: jax.Array, found: _Gradients) -> _Gradients:
        number = num_blocks - 1 - count
        g_projection, g_halves = _combine_gradient(
            tape,
            _take(cells.concat, cell, number),
            _take(parameters.blocks.projections, cell, number),
            _take(tracks.halves, cell, number),
            _take(found.states, cell, number + 2),
        )

        def half(which: jax.Array, found: _Gradients) -> _Gradients:
            place = (cell, number, which)
            operand = _operand(tape, tracks, cells, place)
            slot, g_half = _take(parameters.blocks.slots, *place), _take(g_halves, which)
            branch = _branch(cells, place)
            g_operand, g_slot = lax.switch(branch, gradients, operand, slot, g_half)
            if tape.reduces:
                # What was ready has read no state.
                g_operand = jnp.where(_take(cells.halves, *place), 0.0, g_operand)
            return found._replace(
                states=_add(found.states, g_operand, cell, _take(cells.inputs, *place)),
                slots=_put(found.slots, g_slot, *place),
            )

        found = lax.fori_loop(0, HALVES, half, found)
        if found.halved is not None:
            # The first cell comes last, and its cotangents remain.
            found = found._replace(halved=_put(found.halved, g_halves, number))
        return found._replace(projections=_put(found.projections, g_projection, cell, number))

    def project(cell: jax.Array, distance: jax.Array, found: _Gradients) -> _Gradients:
        """Of what made a cell's current input (distance 0), or its previous one."""
        place, source = (cell - 1, distance), cell - 1 - distance
        norm, total = _take_tree(parameters.next["norm"], *place), _take(tracks.sums, *place)
        _, normalize_vjp = jax.vjp(
            lambda norm, total: _normalize(tape, norm, total, dtype), norm, total
        )
        g_norm, g_total = normalize_vjp(_take(found.states, cell, distance))

        def add_part(count: jax.Array, so_far: tuple) -> tuple:
            g_states, g_kernels = so_far
            state = outputs.order[source, count]
            _, vjp = jax.vjp(
                _project_part, _take(tracks.states, source, state), _take(kernels, *place, state)
            )
            g_state, g_kernel = vjp(g_total.astype(jnp.promote_types(dtype, jnp.float32)))
            return _add(g_states, g_state, source, state), _put(g_kernels, g_kernel, *place, state)

        so_far = (found.states, found.kernels)
        so_far = lax.fori_loop(0, outputs.number[source], add_part, so_far)
        norms = _put_tree(found.norms, g_norm, *place)
        return found._replace(states=so_far[0], kernels=so_far[1], norms=norms)

    def step(count: jax.Array, found: _Gradients) -> _Gradients:
        cell = num_cells - 1 - count
        found = lax.fori_loop(0, num_blocks, functools.partial(block, cell), found)
        if num_cells == 1:
            return found
        in_front = jnp.minimum(2, cell)
        return lax.fori_loop(0, in_front, functools.partial(project, cell), found)

    g_states = _put(jnp.zeros_like(tracks.states), g_ends[0], num_cells - 1)
    if num_cells > 1:
        g_states = _put(g_states, g_ends[1], num_cells - 2)
    found = _Gradients(
        states=g_states,
        halved=jnp.zeros_like(tracks.halves[0]) if tape.reduces else None,
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
