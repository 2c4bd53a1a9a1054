"""What a child needs for parameters, momentum and gradients; counted, not run."""

from __future__ import annotations

import math
from typing import Any

from options import Options
from results import Row, row
from sizes import SIZES, ChildSize

from nasnet_jax.space import COMBINERS, OPERATIONS, Architecture, Block, Cell, cost

NUM_BLOCKS = 5
FLOAT = 4


def measure(options: Options) -> list[Row]:
    del options
    return [compare(size) for size in SIZES.values()]


def compare(size: ChildSize) -> Row:
    from nasnet_jax.search.child_program import make_child_program

    program = make_child_program(size.config(), size.macro, platform="cpu")
    largest = largest_architecture(size)
    child = program.shapes
    # Gradients are as large as parameters.
    ours = 2 * number_of(child.params) + number_of(child.opt_state)
    theirs = 3 * cost(largest, size.macro).params
    return row(
        f"memory of a child, {size.name} size",
        "x",
        ours / theirs,
        against="the largest architecture's own static network, as a multiple",
        most=1.5,
        details={
            "our_megabytes": FLOAT * ours / 1e6,
            "their_megabytes": FLOAT * theirs / 1e6,
            "largest": largest.one_line(),
        },
    )


def largest_architecture(size: ChildSize) -> Architecture:
    """The one with the most parameters.

    With one input of all blocks, all other states are outputs, which makes everything behind wide;
    concatenation adds a projection; and the rest is the choice of the operation of each cell.
    """
    cells = [
        Cell(tuple(Block(state, state, name, name, combine) for _ in range(NUM_BLOCKS)))
        for name in OPERATIONS
        for combine in COMBINERS
        for state in (0, 1)
    ]

    def params(architecture: Architecture) -> int:
        return cost(architecture, size.macro).params

    normal = max(cells, key=lambda cell: params(Architecture(cell, cells[0])))
    return max((Architecture(normal, cell) for cell in cells), key=params)


def number_of(tree: Any) -> int:
    """Of the numbers in all arrays."""
    import jax

    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
