"""The layout of cells: what stands where, whatever the cell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.report.layout import lay_out
from nasnet_jax.space import NASNET_A, Block, Cell, sample_architecture

CELLS = st.builds(
    lambda seed, blocks: sample_architecture(np.random.default_rng(seed), blocks).normal,
    st.integers(0, 10_000),
    st.integers(2, 7),
)


@given(CELLS)
def test_inputs_are_below_and_readers_above_what_they_read(cell: Cell) -> None:
    layout = lay_out(cell)
    output = cell.num_blocks + 2
    assert len(layout.places) == output + 1
    assert [place.row for place in layout.places[:2]] == [0, 0]
    assert layout.places[output].row == layout.rows - 1
    assert all(place.row < layout.rows - 1 for place in layout.places[:output])
    for edge in layout.edges:
        between = layout.places[edge.reader].row - layout.places[edge.state].row - 1
        assert between == len(edge.via) >= 0


@given(CELLS)
def test_edges_are_the_reads_of_the_cell(cell: Cell) -> None:
    edges = lay_out(cell).edges
    reads = [
        (state, k + 2)
        for k, block in enumerate(cell.blocks)
        for state in (block.left_input, block.right_input)
    ]
    reads += [(state, cell.num_blocks + 2) for state in cell.outputs]
    assert [(edge.state, edge.reader) for edge in edges] == reads
    for left, right, block in zip(edges[0::2], edges[1::2], cell.blocks, strict=False):
        assert {left.side, right.side} == {-1, 1}
        if block.combine == "concat":  # Does not commute, so the halves keep their order.
            assert left.side == -1


@given(CELLS)
def test_nothing_in_a_row_overlaps(cell: Cell) -> None:
    layout = lay_out(cell)
    spans = [(place.row, place.column, 1.0) for place in layout.places]
    # Two lines between the same two parts share their way.
    for edge in {(edge.state, edge.reader): edge for edge in layout.edges}.values():
        first = layout.places[edge.state].row + 1
        spans += [(first + number, column, 0.25) for number, column in enumerate(edge.via)]
    for (row, column, width), (other_row, other, other_width) in itertools.combinations(spans, 2):
        if row == other_row:
            assert abs(column - other) >= (width + other_width) / 2 - 1e-6
    assert all(
        width / 2 - 1e-6 <= column <= layout.columns - width / 2 + 1e-6
        for _, column, width in spans
    )


def test_equal_cells_have_equal_layouts() -> None:
    assert lay_out(NASNET_A.normal) == lay_out(Cell(NASNET_A.normal.blocks, (1, 2, 3, 4, 5, 6)))


def test_an_input_that_nothing_reads_has_a_place() -> None:
    blocks = (Block(0, 0, "identity", "conv_1x1"), Block(2, 0, "identity", "conv_1x1"))
    layout = lay_out(Cell(blocks, outputs=(3,)))
    assert layout.places[1].row == 0
    assert all(edge.state != 1 for edge in layout.edges)
    assert layout.places[0].column != pytest.approx(layout.places[1].column)
