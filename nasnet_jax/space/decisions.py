"""Architectures as integers: what a controller decides, and how large the space is.

An architecture of B blocks a cell is 10 B decisions, 50 for the paper's B = 5. Every block takes
five, in the order of Figure 3 of the paper: the first hidden state, the second hidden state, the
operation for the first, the operation for the second, the combiner. The normal cell comes first.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nasnet_jax.space.operations import COMBINERS, OPERATIONS

CELL_KINDS = ("normal", "reduction")
"""The two cells of an architecture, in the order of the decisions."""

DECISIONS_PER_BLOCK = 5

_DECISION_NAMES = ("first input", "second input", "first operation", "second operation", "combiner")


def choices(num_blocks: int = 5) -> tuple[int, ...]:
    """Returns how many options each decision has.

    Args:
        num_blocks: B, the number of blocks in a cell.

    Returns:
        10 B numbers. Block k (from 0) can read k + 2 hidden states.

    Raises:
        ValueError: If `num_blocks` is not a positive integer.
    """
    if num_blocks < 1:
        raise ValueError(f"A cell needs at least one block, but num_blocks is {num_blocks}.")
    cell: list[int] = []
    for block in range(num_blocks):
        states = block + 2
        cell += [states, states, len(OPERATIONS), len(OPERATIONS), len(COMBINERS)]
    return tuple(cell * len(CELL_KINDS))


def decision_kinds(num_blocks: int = 5) -> tuple[str, ...]:
    """Returns what each of the 10 B decisions is: `input`, `operation` or `combiner`.

    Args:
        num_blocks: B, the number of blocks in a cell.
    """
    kinds = tuple(name.split()[-1] for name in _DECISION_NAMES)
    return kinds * num_blocks * len(CELL_KINDS)


def space_size(num_blocks: int = 5) -> int:
    """Returns the exact number of different decision vectors (duplicates are not removed)."""
    return math.prod(choices(num_blocks))


def check_decisions(decisions: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Checks that a vector of decisions describes an architecture.

    Args:
        decisions: Integers `[10 * B]`, for any B of at least 1.

    Returns:
        The decisions as `int32[10 * B]`.

    Raises:
        ValueError: If the shape, the type or a value is wrong; the message names cell and block.
    """
    array = np.asarray(decisions)
    per_architecture = DECISIONS_PER_BLOCK * len(CELL_KINDS)
    if array.ndim != 1 or array.size == 0 or array.size % per_architecture:
        raise ValueError(
            f"Decisions are a vector whose length is a multiple of {per_architecture} (two cells of "
            f"B blocks with {DECISIONS_PER_BLOCK} decisions each), but the shape is {array.shape}."
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"Decisions are integers, but the type of the array is {array.dtype}.")
    num_blocks = array.size // per_architecture
    limits = np.asarray(choices(num_blocks))
    wrong = np.flatnonzero((array < 0) | (array >= limits))
    if wrong.size:
        index = int(wrong[0])
        block_index, part = divmod(index, DECISIONS_PER_BLOCK)
        cell, block = divmod(block_index, num_blocks)
        raise ValueError(
            f"{CELL_KINDS[cell]} cell, block {block + 1}: the {_DECISION_NAMES[part]} "
            f"(decision {index}) is {array[index]}, but 0 to {limits[index] - 1} are allowed."
        )
    return array.astype(np.int32)


def canonical_decisions(decisions: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Brings many architectures to canonical form at once.

    The vectorised twin of `Architecture.canonical`: the two halves of every added block are sorted
    by (input, operation); a concatenation is left as it is, because its order matters.

    Args:
        decisions: Valid decisions `[..., 10 * B]`.

    Returns:
        Decisions of the same shape as `int32`, equal for architectures that differ only in the
        order of commuting halves.
    """
    array = np.asarray(decisions, dtype=np.int32)
    blocks = array.reshape(*array.shape[:-1], -1, DECISIONS_PER_BLOCK)
    left = blocks[..., 0] * len(OPERATIONS) + blocks[..., 2]
    right = blocks[..., 1] * len(OPERATIONS) + blocks[..., 3]
    swap = (blocks[..., 4] == COMBINERS.index("add")) & (left > right)
    swapped = blocks[..., [1, 0, 3, 2, 4]]
    return np.where(swap[..., None], swapped, blocks).reshape(array.shape)
