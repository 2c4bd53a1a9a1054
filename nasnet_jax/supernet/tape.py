"""The tape: the chunks of a stage as arrays, and where on it each child's weights lie.

The host makes a tape for the children that a device trains at the same time. It is data, so one compiled
program runs any.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nasnet_jax.supernet.calls import Call, Place
from nasnet_jax.supernet.kinds import Kinds
from nasnet_jax.supernet.schedule import Chunk, schedule


class Owners(NamedTuple):
    """Whose the weights on a tape are, call by call in the order in which they lie there.

    Attributes:
      kind: int32 `[calls]`, of the call; -1 where there is none.
      child: int32 `[calls]`.
      place: int32 `[calls]`, the number of the place in the child that they belong to.
      used: int32 `[calls]`, rows of its kernels that are in use; a projection of two states that has
        one uses half of them.
    """

    kind: Any
    child: Any
    place: Any
    used: Any


class Tape(NamedTuple):
    """What a device does in a stage, chunk by chunk; arrays are longer than `number` says.

    A chunk's s calls write s rows side by side, and their weights lie side by side. Rows come in the
    order of the chunks, so that the next chunk writes over the rows of calls that a chunk lacks; weights
    in the opposite order, so that the gradient, which walks backwards, does the same with theirs.

    Attributes:
      number: int32 `[]`, of chunks.
      kind: int32 `[chunks]`.
      reads: int32 `[chunks, s, 2]`, rows. Calls that read one, and absent ones, read zeros besides.
      row: int32 `[chunks]`, the first that it writes.
      call: int32 `[chunks]`, its first one among those of `owners`.
      kernel: int32 `[chunks]`, the first row of its kernels.
      owners: of the weights.
    """

    number: Any
    kind: Any
    reads: Any
    row: Any
    call: Any
    kernel: Any
    owners: Owners


class Weights(NamedTuple):
    """The weights of all calls on a tape, or anything with as many numbers.

    Attributes:
      kernels: `[rows, F]`.
      norms: `[calls, normalizations, 2, F]`, scale and offset; the last one of a call ends it.
    """

    kernels: Any
    norms: Any


class Location(NamedTuple):
    """Where on a tape a call's weights lie: its number among the calls, and its kernels' first row."""

    call: int
    kernel: int


class Capacity(NamedTuple):
    """How much there is room for on a tape: calls, and rows of kernels."""

    calls: int
    rows: int


def make_tape(
    kinds: Kinds,
    calls: Sequence[Call],
    rows_of_given: dict[int, int],
    first_row: int,
    place_numbers: dict[Place, int],
    capacity: Capacity,
    size: int,
) -> tuple[Tape, dict[int, int], dict[tuple[int, Place], Location]]:
    """Schedules calls and lays out the tape.

    Args:
      kinds: of the calls.
      calls: of all children.
      rows_of_given: where the states lie that the calls are given.
      first_row: that the first chunk writes.
      place_numbers: of all places that weights can belong to.
      capacity: of the tape, which the calls must not exceed.
      size: s, calls of a chunk.

    Returns:
      The tape, of NumPy; the row of each call; and for each child and place where its weights lie.
    """
    chunks = schedule(calls, size)
    rows = dict(rows_of_given)
    numbers = [number for chunk in chunks for number in chunk.calls]
    rows |= {number: first_row + i for i, number in enumerate(numbers)}
    starts = _starts([len(chunk.calls) for chunk in chunks])
    kernels = [len(chunk.calls) * kinds.all[chunk.kind].rows for chunk in chunks]
    tape = Tape(
        number=np.int32(len(chunks)),
        kind=_padded([chunk.kind for chunk in chunks], capacity.calls),
        reads=_reads(calls, chunks, rows, capacity.calls, size),
        row=_padded([first_row + start for start in starts[:-1]], capacity.calls),
        # Counted from the end.
        call=_padded([starts[-1] - end for end in starts[1:]], capacity.calls),
        kernel=_padded([sum(kernels) - end for end in _starts(kernels)[1:]], capacity.calls),
        owners=_owners(kinds, calls, chunks, place_numbers, capacity.calls),
    )
    locations = {}
    for i, chunk in enumerate(chunks):
        for j, number in enumerate(chunk.calls):
            location = Location(
                int(tape.call[i]) + j, int(tape.kernel[i]) + j * kinds.all[chunk.kind].rows
            )
            locations[calls[number].child, calls[number].place] = location
    return tape, {number: rows[number] for number in numbers}, locations


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


def _owners(
    kinds: Kinds,
    calls: Sequence[Call],
    chunks: Sequence[Chunk],
    numbers: dict[Place, int],
    length: int,
) -> Owners:
    in_order = [calls[number] for chunk in reversed(chunks) for number in chunk.calls]
    used = [
        kinds.all[call.kind].rows
        * sum(state is not None for state in call.reads)
        // len(call.reads)
        for call in in_order
    ]
    return Owners(
        kind=_padded([call.kind for call in in_order], length, -1),
        child=_padded([call.child for call in in_order], length, -1),
        place=_padded([numbers[call.place] for call in in_order], length),
        used=_padded(used, length),
    )


def _starts(lengths: Sequence[int]) -> list[int]:
    """Where each of several things starts that lie one after the other, and where the last one ends."""
    return [0, *itertools.accumulate(lengths)]


def _padded(values: Sequence[int], length: int, value: int = 0) -> np.ndarray:
    padded = np.full(length, value, np.int32)
    padded[: len(values)] = values
    return padded
