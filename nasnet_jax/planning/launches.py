"""What a GPU is asked to do in a step, counted in the compiled program: kernels, and waits for the host.

XLA's runtime issues kernels one after the other without waiting. For a conditional it copies the index of
the branch to the host and waits until the device has nothing left to do; for a loop whose length is data
likewise before every turn. A loop whose length is known costs no such round trip, and neither does
anything within a CUDA graph.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Mapping, Sequence

from nasnet_jax.planning.hlo import Buffer, array_buffers
from nasnet_jax.planning.hlo_text import Instruction, Module
from nasnet_jax.planning.turns import TapeLoop, Turns, equal_shares

_NOTHING = frozenset(
    {
        "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all",
        "add-dependency", "partition-id", "replica-id", "opt-barrier",
    }
)  # fmt: skip
"""What launches nothing."""

_IN_PLACE = ("dynamic-update-slice", "scatter", "tuple")
_PASSED_ON = _NOTHING | {"while", "conditional", "call"}

WHOLE_BUFFER = 1 / 16
"""Share of the largest array that a loop carries, from which on an array counts as a whole buffer."""


@dataclasses.dataclass(frozen=True)
class Launches:
    """Of a step, or of a part of it.

    Attributes:
        kernels: Copies, and calls of cuDNN and cuBLAS included; each may be several kernels there.
        round_trips: Waits for the host.
        libraries: Of the kernels, those that other libraries bring, by their names.
    """

    kernels: float = 0.0
    round_trips: float = 0.0
    libraries: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __add__(self, other: Launches) -> Launches:
        names = [*self.libraries, *(name for name in other.libraries if name not in self.libraries)]
        libraries = {
            name: self.libraries.get(name, 0.0) + other.libraries.get(name, 0.0) for name in names
        }
        return Launches(
            self.kernels + other.kernels, self.round_trips + other.round_trips, libraries
        )

    def times(self, number: float) -> Launches:
        """So often."""
        libraries = {name: number * count for name, count in self.libraries.items()}
        return Launches(number * self.kernels, number * self.round_trips, libraries)


@dataclasses.dataclass(frozen=True)
class Counter:
    """Counts what computations launch.

    Attributes:
        module: The program.
        turns: What its data decides.
        graphs: The names of the loops and conditionals that became part of a CUDA graph.
    """

    module: Module
    turns: Turns
    graphs: Collection[str] = ()

    def step(self) -> str:
        """The computation that is a step: the body of the largest loop of unknown length.

        Where there is none outside of other loops, it is the whole program.
        """
        loops = [
            one
            for one in self.module.computations[self.module.entry]
            if one.op == "while" and one.known_trips is None
        ]
        bodies = [loop.attribute("body")[0] for loop in loops]
        return max(bodies, key=lambda body: self.count(body).kernels, default=self.module.entry)

    def of_step(self) -> Launches:
        """Of one training step."""
        name = self.step()
        found = self.count(name, of_step=True)
        if name == self.module.entry:
            return found
        (loop,) = (
            one
            for one in self.module.computations[self.module.entry]
            if one.attribute("body") == [name]
        )
        return found + Launches(1.0, 1.0 - (loop.name in self.graphs))

    def count(
        self, computation: str, *, of_step: bool = False, tape: TapeLoop | None = None
    ) -> Launches:
        """Of a computation.

        Args:
            computation: Its name.
            of_step: Whether its conditionals are a step's own.
            tape: Whose loop it is the body of.
        """
        total = Launches()
        for one in self.module.computations[computation]:
            if one.op == "while":
                total += self._loop(one)
            elif one.op == "conditional":
                total += self._conditional(one, of_step, tape)
            elif one.op == "call":
                total += self.count(one.called[0], of_step=of_step, tape=tape)
            elif one.op not in _NOTHING and not one.op.endswith("-done"):
                library = _library(one)
                total += Launches(1.0, 0.0, {library: 1.0} if library else {})
        return total

    def _loop(self, loop: Instruction) -> Launches:
        tape = self.turns.tape(loop)
        body = self.count(loop.attribute("body")[0], tape=tape)
        if loop.known_trips is not None:
            return body.times(loop.known_trips)
        number = 1 if tape is None else tape.chunks
        asks = self.count(loop.attribute("condition")[0]) + self._asks(loop)
        return body.times(number) + asks.times(number + 1)

    def _conditional(self, one: Instruction, of_step: bool, tape: TapeLoop | None) -> Launches:
        branches = [self.count(name) for name in one.branches]
        if tape is not None and len(branches) == len(tape.kinds):
            shares: Sequence[float] = tape.kinds
        elif of_step and len(branches) == 2:
            most = max(branches, key=lambda branch: branch.kernels)
            shares = [float(branch is most) for branch in branches]
        else:
            shares = equal_shares(branches)
        total = self._asks(one)
        for branch, share in zip(branches, shares, strict=True):
            total += branch.times(share)
        return total

    def _asks(self, one: Instruction) -> Launches:
        return Launches(round_trips=float(one.name not in self.graphs))


def waits_in_tape_loops(module: Module, turns: Turns) -> list[str]:
    """What makes a loop over chunks wait for the host besides its one switch, by name and scope."""
    found = []
    for loop in _tape_loops(module, turns):
        waits = [
            one
            for one in _inside(module, loop)
            if one.op == "conditional" or (one.op == "while" and one.known_trips is None)
        ]
        switches = [one for one in waits if one.op == "conditional"][:1]
        found += [f"{one.name} ({one.scope})" for one in waits if one not in switches]
    return found


def copies_in_tape_loops(module: Module, turns: Turns) -> list[str]:
    """Copies of what a loop over chunks carries from turn to turn, inside that loop, for people."""
    found = []
    for loop in _tape_loops(module, turns):
        carried = {_shape(one) for one in _large(loop, _least(loop))}
        found += [
            f"{one.name} of {_shape(copied)} in {loop.name} ({loop.scope})"
            for one in _inside(module, loop)
            if one.op.removesuffix("-start") == "copy"
            for copied in array_buffers(one.type)[:1]
            if _shape(copied) in carried
        ]
    return found


def written_whole(module: Module, turns: Turns) -> dict[str, int]:
    """Bytes of the buffers that a step fills, copies or lays out anew as wholes, outside of these loops.

    Such as the zeros with which cotangents begin. By the name and scope of what does it.
    """
    loops = _tape_loops(module, turns)
    bodies = [name for loop in loops for name in loop.called]
    inside = module.reachable(bodies)
    least = max(map(_least, loops), default=math.inf)
    found = {}
    for name in _launching(module, Counter(module, turns).step()) - inside:
        for one in module.computations[name]:
            # What is written in place is a part of a buffer.
            in_place = one.op in _PASSED_ON or _root(module, one).op in _IN_PLACE
            large = _large(one, least)
            if large and not in_place:
                found[f"{one.name} ({one.scope})"] = sum(buffer.bytes for buffer in large)
    return found


def _tape_loops(module: Module, turns: Turns) -> list[Instruction]:
    return [
        one
        for instructions in module.computations.values()
        for one in instructions
        if one.op == "while" and turns.tape(one) is not None
    ]


def _inside(module: Module, loop: Instruction) -> list[Instruction]:
    names = sorted(module.reachable(loop.attribute("body")))
    return [one for name in names for one in module.computations[name]]


def _launching(module: Module, start: str) -> set[str]:
    """The computations from one on whose instructions are launched; those inside of kernels are not."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for one in module.computations[name]:
            if one.op in ("while", "conditional", "call"):
                waiting += [other for other in one.called if other not in seen]
    return seen


def _root(module: Module, one: Instruction) -> Instruction:
    """What a fusion ends with; else the instruction itself."""
    if one.op != "fusion":
        return one
    instructions = {inner.name: inner for inner in module.computations[one.called[0]]}
    (root,) = (inner for inner in instructions.values() if inner.is_root)
    while root.op == "bitcast":
        root = instructions[root.operands[0]]
    return root


def _least(loop: Instruction) -> float:
    """Bytes from which on an array is one of those that matter in this loop."""
    return WHOLE_BUFFER * max(array.bytes for array in array_buffers(loop.type))


def _large(one: Instruction, least: float) -> list[Buffer]:
    return [array for array in array_buffers(one.type) if array.bytes >= least]


def _shape(buffer: Buffer) -> str:
    """Type and shape without the layout."""
    return buffer.shape.partition("{")[0]


def _library(one: Instruction) -> str:
    """What brings a kernel that XLA has not made itself; empty if it has."""
    if match := re.search(r'custom_call_target="__(cu\w+)\$([\w$]+)"', one.rest):
        return f"{match[1]} {match[2]}"
    return ""
