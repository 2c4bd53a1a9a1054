"""The cells of a stage, of all children of a device at once: a loop over the chunks of a tape.

The gradient walks the same tape backwards, where automatic differentiation would keep the intermediate
values of all branches.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasnet_jax.supernet.chunk import Cotangents, Reader, run_chunk, run_chunk_gradient
from nasnet_jax.supernet.kinds import Kinds
from nasnet_jax.supernet.rows import Rows
from nasnet_jax.supernet.tape import Owners, Tape, Weights


class StageTape(NamedTuple):
    """What a device does in a stage.

    Attributes:
        halving: The calls of reduction cells that halve the size; None in the first stage.
        calls: All others.
        owners: Whose the weights of both are.
        outputs: int32 `[1 or 2, children, B + 2]`: the rows of the last cell's hidden states, and
            of those of the cell before it; for a state that is not part of the output a number
            beyond all rows.
    """

    halving: Any
    calls: Tape
    owners: Owners
    outputs: Any


class StageInputs(NamedTuple):
    """What a stage is given, as rows are kept (`nasnet_jax.nn.batch_axis`).

    Attributes:
        halved: `[2 * children, batch, 2 * height, 2 * width, F]`, hidden states 0 and 1 of the
            reduction cells; None in the first stage.
        given: `[given, batch, height, width, F]`, hidden states that the calls read.
    """

    halved: Any
    given: Any


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def run_stage(
    kinds: Kinds, weights: Weights, inputs: StageInputs, tape: StageTape, rows: Rows
) -> tuple[jax.Array, Rows]:
    """The hidden states that the outputs of a stage's last cells concatenate.

    Args:
        kinds: Of the calls.
        weights: Of the calls.
        inputs: What the stage is given.
        tape: What it does.
        rows: To write into; whatever they hold is not read.

    Returns:
        `[1 or 2, children, B + 2, batch, height, width, F]`, the last cell first, as rows are kept;
        zeros for a state that is not part of the output. And the rows, for the next step to write
        into: new ones would have to be filled, which takes a CPU as long as a tenth of a step. They
        have no gradient.
    """
    rows = _run(kinds, weights, inputs, tape, rows)
    return _outputs(rows, tape), rows


def _run(kinds: Kinds, weights: Weights, inputs: StageInputs, tape: StageTape, rows: Rows) -> Rows:
    """All rows, once every chunk has run."""
    halving, calls = _readers(kinds, weights, tape)
    first = _behind_zeros(calls, inputs.given)
    rows = rows._replace(values=lax.dynamic_update_slice_in_dim(rows.values, first, 0, 0))
    if halving is not None:
        with jax.named_scope("halving"):
            rows = _run_chunks(halving, rows, _behind_zeros(halving, inputs.halved))
    with jax.named_scope("calls"):
        return _run_chunks(calls, rows)


def _run_chunks(reader: Reader, rows: Rows, sources: jax.Array | None = None) -> Rows:
    """The rows with what a tape's calls make of the sources, or of the rows themselves."""

    def step(number: jax.Array, rows: Rows) -> Rows:
        return run_chunk(reader, number, rows.values if sources is None else sources, rows)

    return lax.fori_loop(0, reader.tape.number, step, rows)


def _forward(
    kinds: Kinds, weights: Weights, inputs: StageInputs, tape: StageTape, rows: Rows
) -> tuple[tuple[jax.Array, Rows], tuple]:
    rows = _run(kinds, weights, inputs, tape, rows)
    residuals = (weights, inputs.halved, len(inputs.given), tape, rows)
    return (_outputs(rows, tape), rows), residuals


def _backward(
    kinds: Kinds, residuals: tuple, g: tuple[jax.Array, Rows]
) -> tuple[Weights, StageInputs, None, None]:
    g_outputs, _ = g
    weights, halved, num_given, tape, rows = residuals
    halving, calls = _readers(kinds, weights, tape)
    number = jnp.reshape(tape.outputs, -1)
    g_outputs = g_outputs.reshape(len(number), *g_outputs.shape[3:])
    g_rows = jnp.zeros_like(rows.values).at[number].set(g_outputs, mode="drop", unique_indices=True)
    found = Cotangents(g_rows, None, jax.tree.map(jnp.zeros_like, weights))
    with jax.named_scope("calls"):
        found = _run_gradients(calls, rows, rows.values, found)
    g_given = lax.dynamic_slice_in_dim(found.sources, calls.size, num_given)
    if halving is None:
        return found.weights, StageInputs(None, g_given), None, None
    sources = _behind_zeros(halving, halved)
    found = Cotangents(jnp.zeros_like(sources), found.sources, found.weights)
    with jax.named_scope("halving"):
        found = _run_gradients(halving, rows, sources, found)
    return found.weights, StageInputs(found.sources[halving.size :], g_given), None, None


def _run_gradients(reader: Reader, rows: Rows, sources: jax.Array, g: Cotangents) -> Cotangents:
    """The cotangents with those of all that a tape's calls read, and of their weights."""

    def step(count: jax.Array, g: Cotangents) -> Cotangents:
        return run_chunk_gradient(reader, reader.tape.number - 1 - count, sources, rows, g)

    return lax.fori_loop(0, reader.tape.number, step, g)


run_stage.defvjp(_forward, _backward)


def _readers(kinds: Kinds, weights: Weights, tape: StageTape) -> tuple[Reader | None, Reader]:
    config, halving = kinds.config, None
    if kinds.reduces:
        halving = Reader(kinds.halving, config, tape.halving, weights)
    return halving, Reader(kinds.keeping, config, tape.calls, weights)


def _behind_zeros(reader: Reader, states: jax.Array) -> jax.Array:
    """States that calls read, behind as many zeros as a chunk has calls."""
    zeros = jnp.zeros((reader.size, *states.shape[1:]), states.dtype)
    return jnp.concatenate((zeros, states))


def _outputs(rows: Rows, tape: StageTape) -> jax.Array:
    numbers = jnp.reshape(tape.outputs, -1)
    if tape.outputs.shape[1] == 1:
        # A CPU copies a row as one; a gather asks for each of its numbers where it lies.
        inside = numbers < len(rows.values)
        states = lax.map(lambda at: jnp.where(at[0], rows.values[at[1]], 0), (inside, numbers))
    else:
        states = rows.values.at[numbers].get(mode="fill", fill_value=0)
    return states.reshape(*tape.outputs.shape, *states.shape[1:])
