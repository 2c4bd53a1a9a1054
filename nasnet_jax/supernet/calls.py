"""A child as a list of layer calls: all that its cells compute, on the host and without an array.

A cell is told as in the paper: two inputs are projected to hidden states 0 and 1, each block applies
an operation to each of two hidden states and combines the results to a new one, and the states that no
block reads are the cell's output. An identity calls nothing: its result is the state that it reads.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from nasnet_jax.space import OPERATIONS, Architecture, Cell
from nasnet_jax.supernet.kinds import (
    FACTORIZED_REDUCTION,
    NORMALIZED_SUM,
    PROJECTION,
    PROJECTION_PART,
    SUM,
    Kinds,
    calls_of,
)

State = int
"""Where a state comes from: the number of a call, or `~number` of what the stage was given; see
`StageCalls.given`."""

Place = tuple
"""What weights belong to, in a child: `("operation", cell, block, side, layer)`, `("combine", cell,
block)`, `("input", cell, which, part)` or `("sum", cell, which, part)`; of those that halve the size
`("operation", block, side)` or `("output", which)`."""

ZEROS: State | None = None
"""Read by the projection of one state, which has room for two."""


class Call(NamedTuple):
    """One layer of one child.

    Attributes:
        kind: Its number among the stage's.
        reads: One or two states.
        child: Whose it is, from 0.
        place: Of its weights.
    """

    kind: int
    reads: tuple[State | None, ...]
    child: int
    place: Place


@dataclasses.dataclass
class StageCalls:
    """What the children on a device call in one stage.

    Attributes:
        halving: The calls that halve the size, which read the reduction cells' inputs: `~(2 * child +
            which)`.
        calls: All others, each behind what it reads.
        outputs: For the last cell and the one before it (if there is one), for each child its hidden
            states, and None where a state is not part of the output: `[1 or 2][children][B + 2]`.
    """

    halving: list[Call]
    calls: list[Call]
    outputs: list[list[list[State | None]]]


@dataclasses.dataclass(frozen=True)
class Stage:
    """The cells of one size: N normal ones, in stages but the first behind a reduction cell.

    Attributes:
        num_cells: Of all.
        num_blocks: B.
        kinds: Of the calls.
    """

    num_cells: int
    num_blocks: int
    kinds: Kinds

    @property
    def reduces(self) -> bool:
        """Whether the first cell is a reduction cell."""
        return self.kinds.reduces

    def given(self, child: int, which: int) -> State:
        """What the stage is given: hidden state 0 or 1 of the first cell, or 2: state 1 of the second.

        A reduction cell's own inputs are not given: what halves them is.
        """
        return ~(3 * child + which)

    def halved(self, call: int, num_children: int) -> State:
        """What a call that halves the size has made."""
        return ~(3 * num_children + call)


def stage_calls(stage: Stage, architectures: Sequence[Architecture]) -> StageCalls:
    """The calls of these children in a stage."""
    found = StageCalls([], [], [[] for _ in range(min(stage.num_cells, 2))])
    for child, architecture in enumerate(architectures):
        caller = _Caller(stage, found, child, len(architectures))
        cells = [architecture.normal] * stage.num_cells
        if stage.reduces:
            cells[0] = architecture.reduction
        for states, of_children in zip(caller.outputs(cells), found.outputs, strict=False):
            of_children.append(states)
    return found


class Size(NamedTuple):
    """Of calls: how many they are, and how many rows of kernels they have."""

    calls: int
    rows: int


def most(stage: Stage) -> Size:
    """What the calls of no child exceed in a stage."""
    kinds = stage.kinds

    def size(*numbers: int) -> Size:
        return Size(len(numbers), sum(kinds.all[number].rows for number in numbers))

    def largest(sizes: Iterable[Size]) -> Size:
        return Size(*map(max, zip(*sizes, strict=True)))

    def total(*parts: tuple[int, Size]) -> Size:
        return Size(*(sum(count * one[i] for count, one in parts) for i in range(2)))

    keeping = largest(size(*calls_of(kinds, name, halves=False)) for name in OPERATIONS)
    combine = size(kinds.number(PROJECTION))
    cell = total((2 * stage.num_blocks, keeping), (stage.num_blocks, combine))
    parts = _most_parts(stage)
    project = Size(2 * parts - 1, parts * combine.rows)
    # The second cell projects one cell's output, those behind it two.
    projections = max(2 * stage.num_cells - 3, 0)
    cells = total((stage.num_cells, cell), (projections, project))
    if not stage.reduces:
        return cells
    # A reduction cell in the place of one of them.
    halving = largest(size(*calls_of(kinds, name, halves=True)) for name in OPERATIONS)
    either, output = largest((keeping, halving)), size(kinds.number(FACTORIZED_REDUCTION))
    return total(
        (1, cells), (-2 * stage.num_blocks, keeping), (2 * stage.num_blocks, either), (2, output)
    )


class _Caller:
    """Appends the calls of one child."""

    def __init__(self, stage: Stage, found: StageCalls, child: int, num_children: int) -> None:
        self.stage, self.found, self.child = stage, found, child
        self.num_children = num_children
        self.number = stage.kinds.numbers
        self.calls_of = [
            {name: calls_of(stage.kinds, name, halves=halves) for name in OPERATIONS}
            for halves in ((False, True) if stage.reduces else (False,))
        ]

    def outputs(self, cells: Sequence[Cell]) -> list[list[State | None]]:
        """Calls the cells, and returns the last one's and the one before's states that are outputs."""
        outputs: list[list[State | None]] = []
        for number, cell in enumerate(cells):
            if number == 0:
                inputs = [self.stage.given(self.child, which) for which in range(2)]
            else:
                inputs = [self.project(outputs[-1], number, 0)]
                inputs.append(
                    self.stage.given(self.child, 2)
                    if number == 1
                    else self.project(outputs[-2], number, 1)
                )
            reduces = number == 0 and self.stage.reduces
            outputs.append(self.cell(cell, number, inputs, reduces=reduces))
        return outputs[:-3:-1]

    def cell(
        self, cell: Cell, number: int, inputs: list[State], *, reduces: bool
    ) -> list[State | None]:
        """The states of a cell that its output concatenates, and None for the others."""
        states = list(inputs)
        for index, block in enumerate(cell.blocks):
            sides = [
                self.operation(name, states, state, (number, index, side), reduces and state < 2)
                for side, (state, name) in enumerate(
                    ((block.left_input, block.left_op), (block.right_input, block.right_op))
                )
            ]
            combine = PROJECTION if block.combine == "concat" else SUM
            states.append(self.call(combine, sides, ("combine", number, index)))
        if reduces:
            for which in set(cell.outputs) & {0, 1}:
                states[which] = self.halve(FACTORIZED_REDUCTION, which, ("output", which))
        return [state if i in cell.outputs else None for i, state in enumerate(states)]

    def operation(
        self, name: str, states: Sequence[State], state: int, place: tuple, halves: bool
    ) -> State:
        """What an operation makes of a hidden state."""
        x, (number, block, side) = states[state], place
        calls = self.calls_of[halves][name]
        if halves:
            x = self.halve(calls[0], state, ("operation", block, side))
        for layer, kind in enumerate(calls[halves:]):
            x = self.call(kind, [x], ("operation", number, block, side, layer))
        return x

    def project(self, states: Sequence[State | None], number: int, which: int) -> State:
        """The projection of a concatenation: the sum of those of its parts, two states at a time."""
        kept = [state for state in states if state is not None]
        pairs = [(*kept[i : i + 2], ZEROS)[:2] for i in range(0, len(kept), 2)]
        if len(pairs) == 1:
            return self.call(PROJECTION, pairs[0], ("input", number, which, 0))
        parts = [
            self.call(PROJECTION_PART, pair, ("input", number, which, part))
            for part, pair in enumerate(pairs)
        ]
        total = parts[0]
        for part, other in enumerate(parts[1:], start=1):
            kind = NORMALIZED_SUM if part == len(parts) - 1 else SUM
            total = self.call(kind, (total, other), ("sum", number, which, part))
        return total

    def call(self, kind: int | str, reads: Sequence[State | None], place: Place) -> State:
        number = kind if isinstance(kind, int) else self.number[kind]
        self.found.calls.append(Call(number, tuple(reads), self.child, place))
        return len(self.found.calls) - 1

    def halve(self, kind: int | str, which: int, place: Place) -> State:
        number = kind if isinstance(kind, int) else self.number[kind]
        reads = (~(2 * self.child + which),)
        self.found.halving.append(Call(number, reads, self.child, place))
        return self.stage.halved(len(self.found.halving) - 1, self.num_children)


# --- the places of weights, in one order for all children


def places(stage: Stage) -> dict[Place, int]:
    """All places of weights that a child can have in a stage, with their numbers."""
    found = [place for cell in range(stage.num_cells) for place in _cell_places(stage, cell)]
    if stage.reduces:
        blocks = range(stage.num_blocks)
        found += [("operation", block, side) for block in blocks for side in range(2)]
        found += [("output", 0), ("output", 1)]
    return {place: number for number, place in enumerate(found)}


def _most_parts(stage: Stage) -> int:
    """Pairs of states that an output concatenates, at most: the first block reads one of them all."""
    return math.ceil((stage.num_blocks + 1) / 2)


def _cell_places(stage: Stage, cell: int) -> Iterator[Place]:
    """Those of one cell."""
    for block in range(stage.num_blocks):
        for side in range(2):
            for layer in range(stage.kinds.most_layers):
                yield "operation", cell, block, side, layer
        yield "combine", cell, block
    for which in range(2):
        for part in range(_most_parts(stage)):
            yield "input", cell, which, part
        for part in range(1, _most_parts(stage)):
            yield "sum", cell, which, part
