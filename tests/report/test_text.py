from __future__ import annotations

import numpy as np
import pytest

from nasnet_jax.report.text import architecture_text, cell_text
from nasnet_jax.space import LABELS, NASNET_A, Block, Cell, sample_architecture


def test_nasnet_a_reads_as_in_the_paper():
    assert cell_text(NASNET_A.normal).splitlines() == [
        "state 2 = sep 5x5(h_i)   + sep 3x3(h_i-1)",
        "state 3 = sep 5x5(h_i-1) + sep 3x3(h_i-1)",
        "state 4 = avg 3x3(h_i)   + identity(h_i-1)",
        "state 5 = avg 3x3(h_i-1) + avg 3x3(h_i-1)",
        "state 6 = sep 3x3(h_i)   + identity(h_i)",
        " output = concat(h_i-1, state 2, state 3, state 4, state 5, state 6)  [chosen states]",
    ]


def test_concatenation_and_the_output_rule_are_visible():
    cell = Cell(
        (
            Block(0, 0, "conv_1x1", "identity", combine="concat"),
            Block(2, 2, "max_pool_3x3", "identity"),
        )
    )
    assert cell_text(cell).splitlines() == [
        "state 2 = conv 1x1(h_i)    ++ identity(h_i)",
        "state 3 = max 3x3(state 2) +  identity(state 2)",
        " output = concat(h_i-1, state 3)  [the unused states]",
    ]


@pytest.mark.parametrize("num_blocks", [2, 7])
def test_every_block_of_both_cells_is_drawn(num_blocks):
    architecture = sample_architecture(np.random.default_rng(num_blocks), num_blocks)
    text = architecture_text(architecture)
    normal, reduction = text.split("\n\n")
    for part, title, cell in (
        (normal, "normal cell", architecture.normal),
        (reduction, "reduction cell", architecture.reduction),
    ):
        lines = part.splitlines()
        assert lines[0].startswith(title)
        assert len(lines) == 1 + num_blocks + 1
        for line, block in zip(lines[1:], cell.blocks, strict=False):
            assert f"{LABELS[block.left_op]}(" in line
            assert f"{LABELS[block.right_op]}(" in line
