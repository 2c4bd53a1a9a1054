"""The tape: the chunks of a stage as arrays, and where on it each child's weights lie.

The host makes a tape for the children that a device trains at the same time. It is data, so one compiled
program runs any.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasnet_jax.supernet.calls import Call, Place
from nasnet_jax.supernet.schedule import Chunk


class Owners(NamedTuple):
    """Whose the weights of a stage are, call by call in the order in which they lie there.

    Attributes:
        kind: int32 `[calls]`, of the call, among all of the stage; -1 where there is none.
        child: int32 `[calls]`.
        place: int32 `[calls]`, the number of the place in the child that they belong to.
        used: int32 `[calls]`, rows of its kernels that are in use; a projection of two states that
            has one uses half of them.
    """

    kind: Any
    child: Any
    place: Any
    used: Any


class Tape(NamedTuple):
    """What a device does, chunk by chunk; arrays are longer than `number` says.

    A chunk's s calls write s rows side by side, and their weights lie side by side. Rows come in the
    order of the chunks, so that the next chunk writes over the rows of calls that a chunk lacks; weights
    in the opposite order, so that the gradient, which walks backwards, does the same with theirs.

    Attributes:
        number: int32 `[]`, of chunks.
        kind: int32 `[chunks]`, among those of the tape.
        reads: int32 `[chunks, s, 2]`, rows. Calls that read one, and absent ones, read zeros besides.
        row: int32 `[chunks]`, the first that it writes.
        call: int32 `[chunks]`, its first one among those of `Owners`.
        kernel: int32 `[chunks]`, the first row of its kernels.
    """

    number: Any
    kind: Any
    reads: Any
    row: Any
    call: Any
    kernel: Any


class Weights(NamedTuple):
    """The weights of all calls of a stage, or anything with as many numbers.

    Attributes:
        kernels: `[rows, F]`.
        norms: `[calls, normalizations, 2, F]`, scale and offset; the last one of a call ends it.
    """

    kernels: Any
    norms: Any


class Location(NamedTuple):
    """Where in a stage a call's weights lie: its number among the calls, and its kernels' first row."""

    call: int
    kernel: int


Locations = dict[tuple[int, Place], Location]
"""For each child and place of weights."""


def lay_out(
    kernel_rows: Sequence[int],
    calls: Sequence[Call],
    chunks: Sequence[Chunk],
    rows_of_given: Mapping[int, int],
    first: Location,
    first_row: int,
    capacity: int,
    size: int,
) -> tuple[Tape, dict[int, int]]:
    """Lays out a tape.

    Args:
        kernel_rows: Of each kind of the stage.
        calls: Those of the tape, of all children.
        chunks: That they are dealt to.
        rows_of_given: Where the states lie that the calls are given.
        first: Where the weights of the last chunk lie, those of the others behind them.
        first_row: That the first chunk writes.
        capacity: The most chunks of the tape.
        size: s, calls of a chunk.

    Returns:
        The tape, of NumPy, with the kinds' numbers among all of the stage; and the row of each call.
    """
    numbers = [number for chunk in chunks for number in chunk.calls]
    made = {number: first_row + i for i, number in enumerate(numbers)}
    starts = _starts([len(chunk.calls) for chunk in chunks])
    kernels = _starts([len(chunk.calls) * kernel_rows[chunk.kind] for chunk in chunks])
    tape = Tape(
        number=np.int32(len(chunks)),
        kind=_padded([chunk.kind for chunk in chunks], capacity),
        reads=_reads(calls, chunks, {**rows_of_given, **made}, capacity, size),
        row=_padded([first_row + start for start in starts[:-1]], capacity),
        # Counted from the end.
        call=_padded([first.call + starts[-1] - end for end in starts[1:]], capacity),
        kernel=_padded([first.kernel + kernels[-1] - end for end in kernels[1:]], capacity),
    )
    return tape, made


def _reads(
    calls: Sequence[Call], chunks: Sequence[Chunk], rows: dict[int, int], length: int, size: int
) -> np.ndarray:
    # Zeros have as many rows as a chunk has calls, so that no chunk reads a row twice on a side.
    reads = np.tile(np.arange(size, dtype=np.int32)[:, None], (length, 1, 2))
    for i, chunk in enumerate(chunks):
        for j, number in enumerate(chunk.calls):
            for side, state in enumerate(calls[number].reads):
                if state is not None:
                    reads[i, j, side] = rows[state]
    return reads


def locations(
    kernel_rows: Sequence[int], calls: Sequence[Call], chunks: Sequence[Chunk], tape: Tape
) -> Locations:
    """Where the weights of the calls on a tape lie."""
    found, starts = {}, zip(chunks, tape.call.tolist(), tape.kernel.tolist(), strict=False)
    for chunk, first, kernel in starts:
        for j, number in enumerate(chunk.calls):
            call, rows = calls[number], kernel_rows[chunk.kind]
            found[call.child, call.place] = Location(first + j, kernel + j * rows)
    return found


def owners(
    kernel_rows: Sequence[int], calls: Sequence[Call], numbers: Mapping[Place, int], capacity: int
) -> Owners:
    """Whose the weights are, of NumPy.

    Args:
        kernel_rows: Of each kind of the stage.
        calls: In the order in which their weights lie.
        numbers: Of all places that weights can belong to.
        capacity: The most calls of the stage.
    """
    used = [
        kernel_rows[call.kind] * sum(state is not None for state in call.reads) // len(call.reads)
        for call in calls
    ]
    return Owners(
        kind=_padded([call.kind for call in calls], capacity, -1),
        child=_padded([call.child for call in calls], capacity, -1),
        place=_padded([numbers[call.place] for call in calls], capacity),
        used=_padded(used, capacity),
    )


def _starts(lengths: Sequence[int]) -> list[int]:
    """Where each of several things starts that lie one after the other, and where the last one ends."""
    return [0, *itertools.accumulate(lengths)]


def _padded(values: Sequence[int], length: int, value: int = 0) -> np.ndarray:
    """The values, and behind them so many of another that there are `length` in all."""
    found = np.full(length, value, np.int32)
    found[: len(values)] = values
    return found
