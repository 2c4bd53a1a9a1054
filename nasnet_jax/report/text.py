"""Architectures as plain text for a terminal, in the words of the paper."""

from __future__ import annotations

from nasnet_jax.space.architecture import Architecture, Block, Cell
from nasnet_jax.space.decisions import CELL_KINDS
from nasnet_jax.space.operations import LABELS

_INPUT_NAMES = ("h_i", "h_i-1")


def cell_text(cell: Cell) -> str:
    """Draws one cell, a line for each block and one for the output.

    A block reads `state 2 = sep 5x5(h_i) + sep 3x3(h_i-1)`; `h_i` and `h_i-1` are the current and the
    previous input, `+` adds and `++` concatenates along channels.

    Returns:
        Lines without a newline at the end. The columns are aligned.
    """
    names = [*_INPUT_NAMES, *(f"state {state}" for state in range(2, cell.num_blocks + 2))]
    halves = [_halves(block, names) for block in cell.blocks]
    width = max(len(left) for left, _ in halves)
    sign_width = max(len(LABELS[block.combine]) for block in cell.blocks)
    state_width = max(len(name) for name in names)
    lines = [
        f"{names[index + 2]:>{state_width}} = {left:<{width}} "
        f"{LABELS[block.combine]:<{sign_width}} {right}"
        for index, (block, (left, right)) in enumerate(zip(cell.blocks, halves, strict=True))
    ]
    outputs = ", ".join(names[state] for state in cell.outputs)
    kind = "the unused states" if cell.follows_output_rule else "chosen states"
    lines.append(f"{'output':>{state_width}} = concat({outputs})  [{kind}]")
    return "\n".join(lines)


def architecture_text(architecture: Architecture) -> str:
    """Draws both cells under their names.

    Returns:
        Lines without a newline at the end.
    """
    titles = ("normal cell (keeps the size)", "reduction cell (stride 2 on h_i and h_i-1)")
    drawings = []
    for kind, title in zip(CELL_KINDS, titles, strict=True):
        cell: Cell = getattr(architecture, kind)
        body = "\n".join(f"  {line}" for line in cell_text(cell).splitlines())
        drawings.append(f"{title}\n{body}")
    return "\n\n".join(drawings)


def _halves(block: Block, names: list[str]) -> tuple[str, str]:
    return (
        f"{LABELS[block.left_op]}({names[block.left_input]})",
        f"{LABELS[block.right_op]}({names[block.right_input]})",
    )
