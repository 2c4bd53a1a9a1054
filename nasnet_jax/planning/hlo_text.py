"""The text of a compiled program (XLA's HLO) as computations and their instructions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(
    r"^\s+(?P<root>ROOT )?%?(?P<name>[\w.\-]+) = (?P<type>\(.*?\)|\S+) (?P<op>[\w\-]+)\((?P<rest>.*)$"
)
_NAMES = r"=(?:\{([^}]*)\}|%?([\w.\-]+))"
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|true_computation|false_computation"
    rf"|branch_computations|called_computations){_NAMES}"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


@dataclasses.dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a computation.

    Attributes:
        name: Without the `%`.
        type: Of its result, as XLA writes it.
        op: For example `fusion`.
        rest: All that stands behind the op: operands, then attributes.
        is_root: Whether it is the computation's result.
    """

    name: str
    type: str
    op: str
    rest: str
    is_root: bool

    @property
    def called(self) -> list[str]:
        """The computations that it calls."""
        return _names(_CALLED.findall(self.rest))

    @property
    def branches(self) -> list[str]:
        """Of a conditional, the computations of its branches in the order of their numbers."""
        found = self.attribute("branch_computations")
        return found or self.attribute("false_computation") + self.attribute("true_computation")

    @property
    def operands(self) -> list[str]:
        """The names of the instructions that it reads."""
        return re.findall(r"%([\w.\-]+)", self.rest.partition(")")[0])

    @property
    def known_trips(self) -> int | None:
        """How often a loop turns, if the compiler knows it."""
        match = _TRIPS.search(self.rest)
        return int(match[1]) if match else None

    @property
    def scope(self) -> str:
        """Where it stands in the source: the names of scopes, without what transformed them."""
        match = re.search(r'op_name="([^"]*)"', self.rest)
        return re.sub(r"\w+\(|\)", "", match[1]) if match else ""

    def attribute(self, name: str) -> list[str]:
        """The names of computations behind `name=`."""
        return _names(re.findall(rf"\b{name}{_NAMES}", self.rest))


@dataclasses.dataclass(frozen=True)
class Module:
    """A program.

    Attributes:
        computations: The instructions of each, by its name.
        entry: The name of the one that is run.
    """

    computations: Mapping[str, Sequence[Instruction]]
    entry: str

    def reachable(self, start: Iterable[str]) -> set[str]:
        """The names of all computations that these call, and of these themselves."""
        seen: set[str] = set()
        waiting = list(start)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                for instruction in self.computations.get(name, ()):
                    waiting.extend(instruction.called)
        return seen


def parse(text: str) -> Module:
    """Reads the text of a compiled program, `jax.stages.Compiled.as_text()`."""
    computations: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    entry = ""
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            current = computations.setdefault(header["name"], [])
            entry = header["name"] if header["entry"] else entry
        elif found := _INSTRUCTION.match(line):
            current.append(
                Instruction(
                    found["name"], found["type"], found["op"], found["rest"], bool(found["root"])
                )
            )
    return Module(computations, entry)


def _names(found: Iterable[tuple[str, str]]) -> list[str]:
    """The names in what `_NAMES` has found."""
    parts = (part for pair in found for part in pair)
    return [name.strip().lstrip("%") for part in parts for name in part.split(",") if name.strip()]
