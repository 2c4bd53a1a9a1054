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
from nasnet_jax.supernet.tape import Tape


class StageTape(NamedTuple):
    """What a device does in a stage.

    Attributes:
      halving: the calls of reduction cells that halve the size; None in the first stage.
      calls: all others.
      outputs: int32 `[1 or 2, children, B + 2]`: the rows of the last cell's hidden states, and of those
        of the cell before it; for a state that is not part of the output a number beyond all rows.
    """

    halving: Any
    calls: Tape
    outputs: Any


class StageWeights(NamedTuple):
    """The `Weights` on both tapes, or something else of both."""

    halving: Any
    calls: Any


class StageInputs(NamedTuple):
    """What a stage is given, as rows are kept (`nasnet_jax.nn.batch_axis`).

    Attributes:
      halved: `[2 * children, batch, 2 * height, 2 * width, F]`, hidden states 0 and 1 of the reduction
        cells; None in the first stage.
      given: `[given, batch, height, width, F]`, hidden states that the calls read.
    """

    halved: Any
    given: Any


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def run_stage(
    kinds: tuple[Kinds | None, Kinds], weights: StageWeights, inputs: StageInputs, tape: StageTape
) -> jax.Array:
    """The hidden states that the outputs of a stage's last cells concatenate.

    Args:
      kinds: of the calls that halve the size, and of all others.
      weights: of the calls.
      inputs: what the stage is given.
      tape: what it does.

    Returns:
      `[1 or 2, children, B + 2, batch, height, width, F]`, the last cell first, as rows are kept; zeros
      for a state that is not part of the output.
    """
    return _outputs(_run(kinds, weights, inputs, tape), tape)


def _run(
    kinds: tuple[Kinds | None, Kinds], weights: StageWeights, inputs: StageInputs, tape: StageTape
) -> Rows:
    """All rows, once every chunk has run."""
    halving, calls = _readers(kinds, weights, tape)
    rows = _no_rows(halving, calls, inputs.given)
    values = lax.dynamic_update_slice_in_dim(rows.values, inputs.given, calls.size, 0)
    rows = rows._replace(values=values)
    if halving is not None:
        sources = _sources(halving, inputs.halved)
        with jax.named_scope("halving"):
            rows = lax.fori_loop(
                0, halving.tape.number, lambda i, rows: run_chunk(halving, i, sources, rows), rows
            )
    with jax.named_scope("calls"):
        return lax.fori_loop(
            0, calls.tape.number, lambda i, rows: run_chunk(calls, i, rows.values, rows), rows
        )


def _forward(
    kinds: tuple[Kinds | None, Kinds], weights: StageWeights, inputs: StageInputs, tape: StageTape
) -> tuple[jax.Array, tuple]:
    rows = _run(kinds, weights, inputs, tape)
    return _outputs(rows, tape), (weights, inputs.halved, len(inputs.given), tape, rows)


def _backward(
    kinds: tuple[Kinds | None, Kinds], residuals: tuple, g_outputs: jax.Array
) -> tuple[StageWeights, StageInputs, None]:
    weights, halved, num_given, tape, rows = residuals
    halving, calls = _readers(kinds, weights, tape)
    number = jnp.reshape(tape.outputs, -1)
    g_outputs = g_outputs.reshape(len(number), *g_outputs.shape[3:])
    g_rows = jnp.zeros_like(rows.values).at[number].set(g_outputs, mode="drop", unique_indices=True)

    def back(
        reader: Reader, sources: jax.Array, g_sources: jax.Array, g_rows: jax.Array | None
    ) -> Cotangents:
        def step(count: jax.Array, g: Cotangents) -> Cotangents:
            number = reader.tape.number - 1 - count
            return run_chunk_gradient(reader, number, sources, rows, g)

        g_weights = jax.tree.map(jnp.zeros_like, reader.weights)
        start = Cotangents(g_sources, g_rows, g_weights)
        with jax.named_scope("halving" if reader.kinds.halving else "calls"):
            return lax.fori_loop(0, reader.tape.number, step, start)

    g = back(calls, rows.values, g_rows, None)
    g_given = lax.dynamic_slice_in_dim(g.sources, calls.size, num_given)
    if halving is None:
        return StageWeights(None, g.weights), StageInputs(None, g_given), None
    sources = _sources(halving, halved)
    g_halving = back(halving, sources, jnp.zeros_like(sources), g.sources)
    g_inputs = StageInputs(g_halving.sources[halving.size :], g_given)
    return StageWeights(g_halving.weights, g.weights), g_inputs, None


run_stage.defvjp(_forward, _backward)


def _readers(
    kinds: tuple[Kinds | None, Kinds], weights: StageWeights, tape: StageTape
) -> tuple[Reader | None, Reader]:
    halving = None if kinds[0] is None else Reader(kinds[0], tape.halving, weights.halving)
    return halving, Reader(kinds[1], tape.calls, weights.calls)


def _no_rows(halving: Reader | None, calls: Reader, given: jax.Array) -> Rows:
    """Room for zeros, what is given, and all that both tapes can make, in this order."""
    number = calls.size + len(given) + len(calls.tape.owners.kind)
    if halving is not None:
        number += len(halving.tape.owners.kind)
    zeros = jnp.zeros((number, *given.shape[1:]), given.dtype)
    norms = calls.weights.norms
    return Rows(zeros, zeros, jnp.zeros((number, 2, norms.shape[-1]), norms.dtype))


def _sources(halving: Reader, halved: jax.Array) -> jax.Array:
    """What the calls that halve the size read, behind as many zeros as a chunk has calls."""
    zeros = jnp.zeros((halving.size, *halved.shape[1:]), halved.dtype)
    return jnp.concatenate((zeros, halved))


def _outputs(rows: Rows, tape: StageTape) -> jax.Array:
    numbers = jnp.reshape(tape.outputs, -1)
    states = rows.values.at[numbers].get(mode="fill", fill_value=0)
    return states.reshape(*tape.outputs.shape, *states.shape[1:])
