"""What a compiled program's text (XLA's HLO) says: branches, exchanges, copies and padding."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping

from nasnet_jax.planning.hlo_text import Module, parse

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "reduce-scatter",
    "collective-permute",
    "collective-broadcast",
)

_BITS = {"pred": 8, "bf16": 16, "s4": 4, "u4": 4}
_ARRAY = re.compile(
    r"(?P<type>[a-z]+\d*(?:e\d+m\d+\w*)?)\[(?P<shape>[\d,]*)\](?:\{(?P<layout>[^}]*)\})?"
)


@dataclasses.dataclass(frozen=True)
class Buffer:
    """The largest result of its shape.

    Attributes:
        shape: As XLA writes it, with its layout.
        bytes: That the numbers need.
        padded_bytes: That it takes in memory, whose tiles are whole.
    """

    shape: str
    bytes: int
    padded_bytes: int


@dataclasses.dataclass(frozen=True)
class Program:
    """A program's text in numbers.

    Attributes:
        conditionals: Real branches, where one side is computed and the other is not.
        collectives: How many of each exchange between devices.
        collectives_in_branches: The names of those that stand inside a branch. Devices that
            take different branches would wait for each other for ever.
        copy_bytes: Of the results of all copies, each counted once, loops or not.
        buffers: The largest results, largest first.
    """

    conditionals: int
    collectives: Mapping[str, int]
    collectives_in_branches: tuple[str, ...]
    copy_bytes: int
    buffers: tuple[Buffer, ...]


def read_hlo(text: str, *, num_buffers: int = 5) -> Program:
    """Reads the text of a compiled program.

    Args:
        text: `jax.stages.Compiled.as_text()`.
        num_buffers: How many of the largest results to report.
    """
    return describe(parse(text), num_buffers=num_buffers)


def describe(module: Module, *, num_buffers: int = 5) -> Program:
    """A program in numbers; see `read_hlo`."""
    exchanges: dict[str, list[str]] = {}
    branches: set[str] = set()
    counts = dict.fromkeys(COLLECTIVES, 0)
    conditionals = copied = 0
    buffers: dict[str, Buffer] = {}
    for computation, instructions in module.computations.items():
        for instruction in instructions:
            op, arrays = instruction.op.removesuffix("-start"), array_buffers(instruction.type)
            if op == "conditional":
                conditionals += 1
                branches.update(instruction.branches)
            elif op in counts:
                counts[op] += 1
                exchanges.setdefault(computation, []).append(op)
            elif op == "copy":
                copied += sum(array.padded_bytes for array in arrays)
            for array in arrays:
                buffers[array.shape] = array
    inside = module.reachable(branches)
    return Program(
        conditionals=conditionals,
        collectives={name: number for name, number in counts.items() if number},
        collectives_in_branches=tuple(
            op for name in sorted(inside) for op in exchanges.get(name, ())
        ),
        copy_bytes=copied,
        buffers=tuple(
            sorted(buffers.values(), key=lambda buffer: buffer.padded_bytes, reverse=True)
        )[:num_buffers],
    )


def array_buffers(type_text: str) -> list[Buffer]:
    """The arrays of a type as XLA writes it, several of a tuple."""
    return [array_buffer(*found) for found in _ARRAY.findall(type_text)]


def array_buffer(type_name: str, shape: str, layout: str) -> Buffer:
    """The size of an array with and without the padding of its layout's tiles.

    Args:
        type_name: For example `bf16`.
        shape: For example `128,32,32,32`.
        layout: For example `0,3,2,1:T(8,128)(2,1)`: the dimensions from the fastest one on, then
            tiles over the fastest dimensions; only the first tile rounds up.
    """
    sizes = [int(size) for size in shape.split(",") if size]
    bits = _BITS.get(type_name) or int(re.sub(r"\D*(\d+).*", r"\1", type_name) or 8)
    order, _, rest = layout.partition(":")
    padded = list(sizes)
    if tile := re.match(r"T\(([\d,]+)\)", rest):
        fastest = [int(place) for place in order.split(",") if place]
        for place, multiple in zip(fastest, reversed(tile[1].split(",")), strict=False):
            padded[place] = -(-sizes[place] // int(multiple)) * int(multiple)
    written = f"{type_name}[{shape}]" + (f"{{{layout}}}" if layout else "")
    return Buffer(written, math.prod(sizes) * bits // 8, math.prod(padded) * bits // 8)
