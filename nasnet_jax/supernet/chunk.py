"""One chunk of a tape, forward and backward."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasnet_jax.nn.batch_axis import images, keep
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.supernet.kinds import Kind
from nasnet_jax.supernet.rows import (
    Rows,
    each,
    gather,
    no_norm_gradient,
    norm_gradient,
    normalized,
    normalized_gradient,
    put,
    rows_first,
    scaled,
    scatter_add,
    statistics,
    take,
)
from nasnet_jax.supernet.tape import Tape, Weights


class Reader(NamedTuple):
    """What a chunk is run with.

    Attributes:
        kinds: Of the tape.
        config: What all layers have in common.
        tape: As `nasnet_jax.supernet.tape` lays it out.
        weights: Of the stage's calls.
    """

    kinds: tuple[Kind, ...]
    config: LayerConfig
    tape: Tape
    weights: Weights

    @property
    def size(self) -> int:
        """s, calls of a chunk."""
        return self.tape.reads.shape[1]


class Cotangents(NamedTuple):
    """What the way back adds up.

    Attributes:
        sources: Of the rows that are read.
        rows: Of those that are written; None where they are the same.
        weights: Of the calls.
    """

    sources: Any
    rows: Any
    weights: Weights


def run_chunk(reader: Reader, number: jax.Array, sources: jax.Array, rows: Rows) -> Rows:
    """The rows, and in them what the chunk makes.

    Args:
        reader: The tape.
        number: Of the chunk.
        sources: The values that it reads.
        rows: Where it writes.
    """
    kinds, config, tape, weights = reader
    kind, row = tape.kind[number], tape.row[number]
    norms = take(weights.norms, tape.call[number], reader.size)
    made = lax.switch(
        kind,
        [_branch(reader, one) for one in kinds],
        sources,
        tape.reads[number],
        weights.kernels,
        tape.kernel[number],
        norms[:, :-1],
    )
    if reader.size > 1:
        made = rows_first(made)
    unit = jnp.array([0.0, 1.0], norms.dtype)[:, None]

    def normalizing() -> tuple[jax.Array, jax.Array]:
        found = statistics(config, made)
        return found, scaled(found, norms[:, -1])

    def not_normalizing() -> tuple[jax.Array, jax.Array]:
        found = jnp.broadcast_to(unit, norms[:, -1].shape)
        return found, found[:, ::-1]

    found, norm = _if(reader, _normalizes(kinds, kind), normalizing, not_normalizing)
    values = normalized(config, made, found, norm)
    return Rows(*(put(*both, row) for both in zip(rows, (values, made, found), strict=True)))


def run_chunk_gradient(
    reader: Reader, number: jax.Array, sources: jax.Array, rows: Rows, g: Cotangents
) -> Cotangents:
    """The cotangents, with those of what the chunk reads and of its weights.

    Args:
        reader: The tape.
        number: Of the chunk; those behind it are done.
        sources: The values that it has read.
        rows: With what it has made.
        g: With the cotangents of what it has made.
    """
    kinds, config, tape, weights = reader
    kind, row, size = tape.kind[number], tape.row[number], reader.size
    reads, norms = tape.reads[number], take(weights.norms, tape.call[number], size)
    made, found = take(rows.made, row, size), take(rows.statistics, row, size)
    g_values = take(g.sources if g.rows is None else g.rows, row, size)
    if size > 1:
        made, g_values = rows_first(made), rows_first(g_values)
    norm = _if(
        reader,
        _normalizes(kinds, kind),
        lambda: norm_gradient(config, made, found, norms[:, -1, 0], g_values),
        lambda: no_norm_gradient(found),
    )
    g_made = normalized_gradient(config, made, norm, g_values)
    g_first, g_second, g_kernels, g_inside = lax.switch(
        kind,
        [_gradient_branch(reader, one) for one in kinds],
        g_made,
        sources,
        reads,
        weights.kernels,
        tape.kernel[number],
        norms[:, :-1],
    )
    pixels = made[0].size // found.shape[-1]
    g_norm = pixels * jnp.stack((norm.mean_product, norm.mean_g), 1)
    g_norms = jnp.concatenate((g_inside, g_norm[:, None]), 1)
    g_weights = Weights(
        put(g.weights.kernels, g_kernels, tape.kernel[number]),
        put(g.weights.norms, g_norms, tape.call[number]),
    )
    g_sources = scatter_add(g.sources, reads[:, 0], g_first)
    if any(one.reads > 1 for one in kinds):
        g_sources = _second_side(reader, kind, g_sources, reads[:, 1], g_second)
    return Cotangents(g_sources, g.rows, g_weights)


def _branch(reader: Reader, kind: Kind) -> Callable:
    def branch(sources: Any, reads: Any, kernels: Any, start: Any, inside: Any) -> jax.Array:
        inputs = [gather(sources, reads[:, side]) for side in range(kind.reads)]
        used = _kernels(kind, kernels, start, reader.size)
        return _before_norm(reader, kind)(used, inside, *inputs)

    return branch


def _gradient_branch(reader: Reader, kind: Kind) -> Callable:
    size = reader.size

    def branch(g: Any, sources: Any, reads: Any, kernels: Any, start: Any, inside: Any) -> tuple:
        inputs = [gather(sources, reads[:, side]) for side in range(kind.reads)]
        used = _kernels(kind, kernels, start, size)
        _, vjp = jax.vjp(_before_norm(reader, kind), used, inside, *inputs)
        g_kernels, g_inside, *g_inputs = vjp(g)
        room = size * (max(one.rows for one in reader.kinds) - kind.rows)
        g_kernels = jnp.pad(g_kernels.reshape(-1, kernels.shape[-1]), ((0, room), (0, 0)))
        second = g_inputs[1] if kind.reads > 1 else jnp.zeros_like(g_inputs[0])
        return g_inputs[0], second, g_kernels, g_inside

    return branch


def _before_norm(reader: Reader, kind: Kind) -> Callable:
    """What a chunk's calls make, of `[s, rows, F]`, `[s, inside, 2, F]` and states as rows are kept."""
    config = reader.config

    def of_all(kernels: jax.Array, inside: jax.Array, *inputs: jax.Array) -> jax.Array:
        in_order = tuple(images(config, x) for x in inputs)
        return keep(config, each(kind.before_norm, reader.size)(kernels, inside, *in_order))

    return of_all


def _second_side(
    reader: Reader, kind: jax.Array, g: jax.Array, numbers: jax.Array, values: jax.Array
) -> jax.Array:
    """Adds the cotangents of what calls of two states read second."""
    if reader.size > 1:
        return scatter_add(g, numbers, values)
    # A loop of none or one, which works in place.
    second = jnp.asarray([one.reads - 1 for one in reader.kinds])[kind]
    return lax.fori_loop(0, second, lambda _, g: scatter_add(g, numbers, values), g)


def _normalizes(kinds: Sequence[Kind], kind: jax.Array) -> jax.Array:
    return jnp.asarray([one.normalizes for one in kinds])[kind]


def _if(
    reader: Reader, condition: jax.Array, true: Callable[[], Any], false: Callable[[], Any]
) -> Any:
    """One of both; of many calls both are computed, since asking would make a GPU wait for the host.

    What `lax.cond` returns is in memory; XLA:CPU would compute it again for every pixel that it enters.
    """
    if reader.size > 1:
        return jax.tree.map(functools.partial(jnp.where, condition), true(), false())
    return lax.cond(condition, true, false)


def _kernels(kind: Kind, kernels: jax.Array, start: jax.Array, size: int) -> jax.Array:
    """A chunk's, `[s, rows, F]`."""
    rows = take(kernels, start, size * kind.rows)
    return rows.reshape(size, kind.rows, kernels.shape[-1])
