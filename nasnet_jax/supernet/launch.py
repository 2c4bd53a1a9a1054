"""What the host prepares for the children that a device trains at the same time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasnet_jax.space import OPERATIONS, Architecture
from nasnet_jax.supernet.calls import (
    Place,
    Stage,
    StageCalls,
    halving_places,
    most_calls,
    places,
    stage_calls,
)
from nasnet_jax.supernet.kinds import PROJECTION, Kinds, calls_of
from nasnet_jax.supernet.stage import StageTape
from nasnet_jax.supernet.tape import Capacity, Location, make_tape

Locations = Mapping[tuple[int, Place], Location]


class Launch(NamedTuple):
    """Children on one device.

    Attributes:
      tapes: of the stages, `StageTape` of NumPy.
      halving: where the weights of the calls that halve the size lie, for each stage.
      calls: the same of all other calls.
    """

    tapes: Any
    halving: tuple[Locations, ...]
    calls: tuple[Locations, ...]


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
    made = [_stage(stage, architectures, room) for stage in stages]
    tapes, halving, calls = zip(*made, strict=True)
    return Launch(tapes, halving, calls)


def capacity(stage: Stage, room: Room) -> Capacity:
    """Of the tape of the calls that keep the size, whatever the children are."""
    operation = max(
        sum(stage.kinds.all[kind].rows for kind in calls_of(stage.kinds, name, halves=halves))
        for name in OPERATIONS
        for halves in (False, True)
    )
    pair = stage.kinds.all[stage.kinds.number(PROJECTION)].rows
    parts = -(-(stage.num_blocks + 2) // 2)
    cell = stage.num_blocks * (2 * operation + pair) + 2 * parts * pair
    return _with_a_chunk(stage.kinds, most_calls(stage), stage.num_cells * cell, room)


def halving_capacity(stage: Stage, room: Room) -> Capacity:
    """Of the tape of those that halve it."""
    assert stage.halving is not None
    calls = len(halving_places(stage))
    return _with_a_chunk(stage.halving, calls, calls * stage.halving.rows, room)


def _with_a_chunk(kinds: Kinds, calls: int, rows: int, room: Room) -> Capacity:
    """Of that much for each child, and a chunk's behind it, which the last one may write over."""
    return Capacity(
        room.children * calls + room.chunk, room.children * rows + room.chunk * kinds.rows
    )


def given_states(stage: Stage) -> tuple[int, ...]:
    """Which hidden states a stage is given for each child; see `Stage.given`."""
    second = (2,) if stage.num_cells > 1 else ()
    return second if stage.reduces else (0, 1, *second)


def _stage(
    stage: Stage, architectures: Sequence[Architecture], room: Room
) -> tuple[StageTape, Locations, Locations]:
    found = stage_calls(stage, architectures)
    given = given_states(stage)
    # Rows lie in this order: zeros, what is given, what halves the size, all other calls.
    rows = {
        stage.given(child, which): room.chunk + child * len(given) + number
        for child in range(len(architectures))
        for number, which in enumerate(given)
    }
    first = room.chunk + room.children * len(given)
    halving: Any = None
    halving_locations: Locations = {}
    if stage.halving is not None:
        inputs = {~i: room.chunk + i for i in range(2 * len(architectures))}
        room_for = halving_capacity(stage, room)
        halving, made, halving_locations = make_tape(
            stage.halving, found.halving, inputs, first, halving_places(stage), room_for, room.chunk
        )
        rows |= {stage.halved(call, len(architectures)): row for call, row in made.items()}
        first += room_for.calls
    room_for = capacity(stage, room)
    calls, made, locations = make_tape(
        stage.kinds, found.calls, rows, first, places(stage), room_for, room.chunk
    )
    outputs = _outputs(found, rows | made, first + room_for.calls, stage, room)
    return StageTape(halving, calls, outputs), halving_locations, locations


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
