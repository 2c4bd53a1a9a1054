"""What the host prepares for the children that a device trains at the same time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasnet_jax.space import Architecture
from nasnet_jax.supernet.calls import Call, Size, Stage, StageCalls, most, places, stage_calls
from nasnet_jax.supernet.schedule import Chunk, schedule
from nasnet_jax.supernet.stage import StageTape
from nasnet_jax.supernet.tape import Location, Locations, lay_out, locations, owners


class Launch(NamedTuple):
    """Children on one device.

    Attributes:
        tapes: Of the stages, `StageTape` of NumPy.
        locations: Where the children's weights lie, for each stage.
    """

    tapes: Any
    locations: tuple[Locations, ...]


@dataclasses.dataclass(frozen=True)
class Room:
    """What there is room for on a device.

    Attributes:
        children: K.
        chunk: s, calls of a chunk.
    """

    children: int = 1
    chunk: int = 1


def make_launch(
    stages: Sequence[Stage], architectures: Sequence[Architecture], room: Room
) -> Launch:
    """Schedules the calls of children, at most `room.children` of them, in all stages."""
    assert len(architectures) <= room.children
    tapes, places = zip(*(_stage(stage, architectures, room) for stage in stages), strict=True)
    return Launch(tapes, places)


def capacity(stage: Stage, room: Room) -> Size:
    """Calls, and rows of kernels, that there is room for whatever the children are.

    Behind them there is a chunk's, which the last one may write over.
    """
    calls, rows = most(stage)
    behind = room.chunk * stage.kinds.rows
    return Size(room.children * calls + room.chunk, room.children * rows + behind)


def num_rows(stage: Stage, room: Room) -> int:
    """Of a stage: zeros for a chunk, what it is given, and all that its calls make, in this order."""
    given = room.children * len(given_states(stage))
    return room.chunk + given + capacity(stage, room).calls


def given_states(stage: Stage) -> tuple[int, ...]:
    """Which hidden states a stage is given for each child; see `Stage.given`."""
    second = (2,) if stage.num_cells > 1 else ()
    return second if stage.reduces else (0, 1, *second)


def _stage(
    stage: Stage, architectures: Sequence[Architecture], room: Room
) -> tuple[StageTape, Locations]:
    found, kernel_rows = stage_calls(stage, architectures), [kind.rows for kind in stage.kinds.all]
    given, most_calls = given_states(stage), capacity(stage, room).calls
    # Rows lie in this order: zeros, what is given, what halves the size, all other calls.
    rows = {
        stage.given(child, which): room.chunk + child * len(given) + number
        for child in range(len(architectures))
        for number, which in enumerate(given)
    }
    first_row = room.chunk + room.children * len(given)
    chunks, halving_chunks = schedule(found.calls, room.chunk), schedule(found.halving, room.chunk)
    # Weights lie in the opposite order.
    behind = Location(len(found.calls), sum(kernel_rows[call.kind] for call in found.calls))
    halving, places_of = None, {}
    if stage.reduces:
        inputs = {~i: room.chunk + i for i in range(2 * len(architectures))}
        halving, made = lay_out(
            kernel_rows,
            found.halving,
            halving_chunks,
            inputs,
            behind,
            first_row,
            most_calls,
            room.chunk,
        )
        places_of = locations(kernel_rows, found.halving, halving_chunks, halving)
        halving = halving._replace(kind=halving.kind - len(stage.kinds.keeping))
        rows |= {stage.halved(call, len(architectures)): row for call, row in made.items()}
        first_row += len(found.halving)
    tape, made = lay_out(
        kernel_rows, found.calls, chunks, rows, Location(0, 0), first_row, most_calls, room.chunk
    )
    places_of |= locations(kernel_rows, found.calls, chunks, tape)
    in_order = _backwards(found.calls, chunks) + _backwards(found.halving, halving_chunks)
    whose = owners(kernel_rows, in_order, places(stage), most_calls)
    outputs = _outputs(found, rows | made, num_rows(stage, room), stage, room)
    return StageTape(halving, tape, whose, outputs), places_of


def _backwards(calls: Sequence[Call], chunks: Sequence[Chunk]) -> list[Call]:
    """In the order in which weights lie."""
    return [calls[number] for chunk in reversed(chunks) for number in chunk.calls]


def _outputs(
    found: StageCalls, rows: Mapping[int, int], beyond: int, stage: Stage, room: Room
) -> np.ndarray:
    shape = (len(found.outputs), room.children, stage.num_blocks + 2)
    # Different numbers, since none may be written twice.
    outputs = beyond + np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    for cell, of_children in enumerate(found.outputs):
        for child, states in enumerate(of_children):
            for number, state in enumerate(states):
                if state is not None:
                    outputs[cell, child, number] = rows[state]
    return outputs
