"""Where the parts of a cell stand in a drawing of it, in the manner of the paper's figures.

A cell is laid out in rows: the two inputs at the bottom, every block above the states that it reads,
the concatenation on top. The library `fast_sugiyama` orders each row so that few lines cross; a line
that passes a row between two blocks gets a place there like a narrow block. This module knows
nothing of pixels: `nasnet_jax.report.drawing` and the report's script turn rows and columns into
them.
"""

from __future__ import annotations

import dataclasses
import logging

import fast_sugiyama

from nasnet_jax.space.architecture import Cell

# The library logs every step of every layout as information.
for _name in ("rust-sugiyama", "connected_components"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_LINE_WIDTH = 0.25
"""The room of a passing line, in block widths."""


@dataclasses.dataclass(frozen=True)
class Place:
    """The centre of a part.

    Attributes:
        column: From the left, in block widths, from 0.
        row: From the bottom, from 0 for the inputs.
    """

    column: float
    row: int


@dataclasses.dataclass(frozen=True)
class Edge:
    """A line from a state to where it is read.

    Attributes:
        state: Index of the state.
        reader: Index of the state that the reading block makes, or the number of states for the
            cell's output.
        via: The columns at which the line passes the rows between the two, from the bottom.
        side: -1 if it ends at the left box of a block, 1 at the right, 0 at the output.
    """

    state: int
    reader: int
    via: tuple[float, ...]
    side: int


@dataclasses.dataclass(frozen=True)
class CellLayout:
    """A cell laid out.

    Attributes:
        places: Of the states 0 to B + 1 in the order of their indices, then of the output.
        edges: Two for each block, left half first, then one for each output state.
        columns: The width of the whole, in block widths.
        rows: The number of rows.
    """

    places: tuple[Place, ...]
    edges: tuple[Edge, ...]
    columns: float
    rows: int


def lay_out(cell: Cell) -> CellLayout:
    """Lays a cell out; equal cells get equal layouts."""
    output = cell.num_blocks + 2
    # Below both inputs, so that they share a row; it is not drawn.
    root = output + 1
    reads = [
        (state, index + 2)
        for index, block in enumerate(cell.blocks)
        for state in (block.left_input, block.right_input)
    ]
    reads += [(state, output) for state in cell.outputs]
    links = [(root, 0), (root, 1), *dict.fromkeys(reads)]
    # An input that nothing reads, which chosen outputs make possible, still has its place.
    links += [(state, output) for state in (0, 1) if state not in {read for read, _ in reads}]
    ((positions, _, _, segments),) = fast_sugiyama.from_edges(
        links,
        minimum_length=1,
        vertex_spacing=1,
        dummy_vertices=True,
        dummy_size=_LINE_WIDTH,
        ranking_type="up",
    )
    found = {node: Place(x, round(y)) for node, (x, y) in positions if node != root}
    top = max(place.row for place in found.values())  # The library counts rows from the top.
    start = min(place.column - _width(node, root) / 2 for node, place in found.items())
    places = {
        int(node): Place(place.column - start, top - place.row) for node, place in found.items()
    }
    width = max(place.column + _width(node, root) / 2 for node, place in places.items())
    following: dict[int, list[int]] = {}
    for lower, upper in segments or ():
        following.setdefault(int(lower), []).append(int(upper))

    def via(state: int, reader: int) -> tuple[float, ...]:
        """Follows the library's extra nodes, which have indices above the root's."""
        for node in following[state]:
            passed = []
            while node > root:
                passed.append(places[node].column)
                (node,) = following[node]
            if node == reader:
                return tuple(passed)
        raise AssertionError(f"The layout lost the line from state {state} to {reader}.")

    def comes_from(state: int, reader: int) -> float:
        return (places[state].column, *via(state, reader))[-1]

    edges: list[Edge] = []
    for index, block in enumerate(cell.blocks):
        reader = index + 2
        left, right = block.left_input, block.right_input
        # Addition commutes, so its halves may change places where that uncrosses their lines.
        crossed = block.combine == "add" and comes_from(left, reader) > comes_from(right, reader)
        edges.append(Edge(left, reader, via(left, reader), side=1 if crossed else -1))
        edges.append(Edge(right, reader, via(right, reader), side=-1 if crossed else 1))
    edges += [Edge(state, output, via(state, output), side=0) for state in cell.outputs]
    return CellLayout(
        places=tuple(places[node] for node in range(output + 1)),
        edges=tuple(edges),
        columns=width,
        rows=top + 1,
    )


def _width(node: int | str, root: int) -> float:
    return _LINE_WIDTH if int(node) > root else 1.0
