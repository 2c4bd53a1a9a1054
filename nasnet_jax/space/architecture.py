"""What an architecture of the NASNet space is: two cells of blocks, validated and immutable.

A cell of B blocks has B + 2 hidden states. State 0 is the current input h_i, state 1 the previous
input h_{i-1}; block k (from 0) reads two of the states before it and makes state k + 2. The output
of a cell is the concatenation of its `outputs` along channels, in index order.
"""

from __future__ import annotations

import dataclasses
import os
import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from nasnet_jax.paths import local_path
from nasnet_jax.space import serialization
from nasnet_jax.space.decisions import CELL_KINDS, DECISIONS_PER_BLOCK, check_decisions
from nasnet_jax.space.operations import COMBINERS, OPERATIONS


@dataclasses.dataclass(frozen=True, repr=False)
class Block:
    """Two hidden states, an operation on each, and how the results are combined.

    Attributes:
        left_input: Index of the first hidden state.
        right_input: Index of the second hidden state.
        left_op: Name of the operation on the first, from `OPERATIONS`.
        right_op: Name of the operation on the second, from `OPERATIONS`.
        combine: Name of the combiner, from `COMBINERS`.

    Raises:
        ValueError: If a name is unknown or an index is not an integer of at least 0. Whether the
            indices exist is checked by the cell, which knows the place of the block.
    """

    left_input: int
    right_input: int
    left_op: str
    right_op: str
    combine: str = "add"

    def __post_init__(self) -> None:
        for field in ("left_input", "right_input"):
            object.__setattr__(self, field, _state_index(field, getattr(self, field)))
        for field, allowed in (
            ("left_op", OPERATIONS),
            ("right_op", OPERATIONS),
            ("combine", COMBINERS),
        ):
            value = getattr(self, field)
            if value not in allowed:
                raise ValueError(
                    f"{field} is {value!r}, but one of {', '.join(allowed)} is needed."
                )

    def __repr__(self) -> str:
        return (
            f"Block({self.left_input}, {self.right_input}, {self.left_op!r}, {self.right_op!r}, "
            f"{self.combine!r})"
        )

    def canonical(self) -> Block:
        """Returns the block with the halves of an addition sorted by (input, operation)."""
        left = (self.left_input, OPERATIONS.index(self.left_op))
        right = (self.right_input, OPERATIONS.index(self.right_op))
        if self.combine != "add" or left <= right:
            return self
        return Block(
            self.right_input, self.left_input, self.right_op, self.left_op, combine=self.combine
        )


@dataclasses.dataclass(frozen=True, repr=False)
class Cell:
    """The blocks of one cell and the hidden states that its output concatenates.

    Attributes:
        blocks: B blocks; block k (from 0) may read states 0 to k + 1.
        outputs: Sorted indices of the states that make the output. Left out (or empty) at
            construction, it becomes the paper's rule: the states that no block reads.

    Raises:
        ValueError: If a block reads a state that is not there yet, or the outputs name a state
            twice, name one that does not exist, or leave out the result of a block that no other
            block reads. The message says which block.
        TypeError: If one of the blocks is no `Block`.
    """

    blocks: tuple[Block, ...]
    outputs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        blocks = tuple(self.blocks)
        object.__setattr__(self, "blocks", blocks)
        if not blocks:
            raise ValueError("A cell needs at least one block, but it has none.")
        for index, block in enumerate(blocks):
            if not isinstance(block, Block):
                raise TypeError(f"block {index + 1}: a Block is needed, but this is {block!r}.")
            for field in ("left_input", "right_input"):
                if getattr(block, field) > index + 1:
                    raise ValueError(
                        f"block {index + 1}: {field} is {getattr(block, field)}, but this block "
                        f"can read states 0 to {index + 1} only."
                    )
        outputs = self._checked(self.outputs) if self.outputs else self.unused_states
        object.__setattr__(self, "outputs", outputs)

    def _checked(self, outputs: Iterable[int]) -> tuple[int, ...]:
        states = tuple(sorted(_state_index("outputs", state) for state in outputs))
        last = self.num_blocks + 1
        if len(set(states)) != len(states) or any(state > last for state in states):
            raise ValueError(
                f"outputs are {states}, but different states from 0 to {last} are needed."
            )
        lost = [state for state in self.unused_states if state >= 2 and state not in states]
        if lost:
            raise ValueError(
                f"outputs are {states} and leave out state {lost[0]}, the result of block "
                f"{lost[0] - 1}, which no other block reads; add it to the outputs."
            )
        return states

    def __repr__(self) -> str:
        outputs = "" if self.follows_output_rule else f", outputs={self.outputs}"
        return f"Cell({list(self.blocks)}{outputs})"

    @property
    def num_blocks(self) -> int:
        """B, the number of blocks."""
        return len(self.blocks)

    @property
    def unused_states(self) -> tuple[int, ...]:
        """The states that no block reads, sorted; the inputs (0 and 1) can be among them."""
        used = {state for block in self.blocks for state in (block.left_input, block.right_input)}
        return tuple(state for state in range(self.num_blocks + 2) if state not in used)

    @property
    def follows_output_rule(self) -> bool:
        """Whether the output concatenates exactly the unused states, as the paper says."""
        return self.outputs == self.unused_states

    def canonical(self) -> Cell:
        """Returns the cell with every block in canonical form; the outputs stay."""
        return Cell(tuple(block.canonical() for block in self.blocks), self.outputs)


@dataclasses.dataclass(frozen=True, repr=False)
class Architecture:
    """A point of the search space: a normal cell and a reduction cell with equally many blocks.

    Attributes:
        normal: The cell that keeps the spatial size.
        reduction: The cell that halves it.

    Raises:
        ValueError: If the cells have different numbers of blocks.
        TypeError: If one of them is no `Cell`.
    """

    normal: Cell
    reduction: Cell

    def __post_init__(self) -> None:
        for kind in CELL_KINDS:
            if not isinstance(getattr(self, kind), Cell):
                raise TypeError(
                    f"{kind} cell: a Cell is needed, but this is {getattr(self, kind)!r}."
                )
        if self.normal.num_blocks != self.reduction.num_blocks:
            raise ValueError(
                f"Both cells need the same number of blocks, but the normal cell has "
                f"{self.normal.num_blocks} and the reduction cell {self.reduction.num_blocks}."
            )

    def __repr__(self) -> str:
        return f"Architecture({self.one_line()!r})"

    def _repr_svg_(self) -> str:
        """Draws both cells where a notebook shows the architecture."""
        # The one import against the arrows, and only when something is to be shown: whoever has an
        # architecture should see it, without having to know which package draws.
        from nasnet_jax.report.drawing import architecture_svg

        return architecture_svg(self)

    @property
    def num_blocks(self) -> int:
        """B, the number of blocks in each cell."""
        return self.normal.num_blocks

    @property
    def follows_output_rule(self) -> bool:
        """Whether both cells output exactly their unused states."""
        return self.normal.follows_output_rule and self.reduction.follows_output_rule

    def with_rule_outputs(self) -> Architecture:
        """Returns the same blocks with the paper's output rule, the unused states, in both cells."""
        return Architecture(Cell(self.normal.blocks), Cell(self.reduction.blocks))

    def canonical(self) -> Architecture:
        """Returns the form that architectures share if they differ in the order of added halves.

        Addition commutes, so two architectures with equal canonical forms compute the same function
        with the same blocks in the same order. Concatenation does not commute and is left alone.
        """
        return Architecture(self.normal.canonical(), self.reduction.canonical())

    def decisions(self) -> npt.NDArray[np.int32]:
        """Returns the architecture as `int32[10 * B]`; see `nasnet_jax.space.decisions`.

        Raises:
            ValueError: If a cell outputs other states than the unused ones, as `NASNET_A` does with
                the lists of the released code: decisions cannot say that.
        """
        for kind in CELL_KINDS:
            cell: Cell = getattr(self, kind)
            if not cell.follows_output_rule:
                raise ValueError(
                    f"{kind} cell: decisions always mean that a cell outputs its unused states "
                    f"{cell.unused_states}, but this one outputs {cell.outputs}, as NASNET_A does "
                    f"(the released code's lists). Call with_rule_outputs() first if the unused "
                    f"states are what you want."
                )
        return np.array(
            [
                number
                for block in self.normal.blocks + self.reduction.blocks
                for number in (
                    block.left_input,
                    block.right_input,
                    OPERATIONS.index(block.left_op),
                    OPERATIONS.index(block.right_op),
                    COMBINERS.index(block.combine),
                )
            ],
            dtype=np.int32,
        )

    @classmethod
    def from_decisions(cls, decisions: npt.ArrayLike) -> Architecture:
        """Makes the architecture of a vector of decisions `[10 * B]`.

        Raises:
            ValueError: If the vector is not valid; the message names cell, block and decision.
        """
        rows = check_decisions(decisions).reshape(len(CELL_KINDS), -1, DECISIONS_PER_BLOCK).tolist()
        normal, reduction = (
            Cell(
                tuple(
                    Block(
                        left, right, OPERATIONS[left_op], OPERATIONS[right_op], COMBINERS[combine]
                    )
                    for left, right, left_op, right_op, combine in cell
                )
            )
            for cell in rows
        )
        return cls(normal, reduction)

    def to_json(self) -> str:
        """Returns the architecture as JSON text with one block a line."""
        return serialization.to_json_text(self._to_data())

    @classmethod
    def from_json(cls, source: str | dict[str, Any]) -> Architecture:
        """Makes an architecture from JSON text or from what such text parses to.

        Raises:
            ValueError: If the text is not JSON or describes no architecture; the message says
                which cell and which block.
        """
        data = serialization.parse_json_text(source) if isinstance(source, str) else source
        _check_keys("An architecture", data, required=CELL_KINDS)
        normal, reduction = (_cell_from_data(kind, data[kind]) for kind in CELL_KINDS)
        return cls(normal, reduction)

    def one_line(self) -> str:
        """Returns the one-line form.

        For example `normal: sep_conv_5x5(0)+sep_conv_3x3(1) ... -> 1 2 3; reduction: ...`: a block
        is `operation(state)+operation(state)` with `++` for a concatenation, and the arrow is there
        only where the outputs are not the unused states.
        """
        return serialization.to_one_line_text(self._to_data())

    @classmethod
    def from_one_line(cls, text: str) -> Architecture:
        """Makes an architecture from its one-line form.

        Raises:
            ValueError: If the text has another form or describes no architecture.
        """
        return cls.from_json(serialization.parse_one_line_text(text))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the architecture to a JSON file, atomically; makes the folder if needed."""
        serialization.write_atomically(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Architecture:
        """Reads an architecture from a JSON file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file holds no architecture; the message says where it goes wrong.
        """
        file = local_path(path)
        if not file.is_file():
            raise FileNotFoundError(f"There is no architecture file {str(file)!r}.")
        try:
            return cls.from_json(file.read_text(encoding="utf-8"))
        except ValueError as error:  # UnicodeDecodeError is one too
            raise ValueError(f"{str(file)!r} holds no valid architecture: {error}") from error

    def _to_data(self) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for kind in CELL_KINDS:
            cell: Cell = getattr(self, kind)
            data[kind] = {"blocks": [dataclasses.asdict(block) for block in cell.blocks]}
            if not cell.follows_output_rule:
                data[kind]["outputs"] = list(cell.outputs)
        return data


def _cell_from_data(kind: str, data: Any) -> Cell:
    _check_keys(f"The {kind} cell", data, required=("blocks",), optional=("outputs",))
    fields = {field.name for field in dataclasses.fields(Block)}
    if not isinstance(data["blocks"], list) or not data["blocks"]:
        raise ValueError(
            f"{kind} cell: 'blocks' is a list of at least one block, but this is "
            f"{reprlib.repr(data['blocks'])}."
        )
    blocks = []
    for number, block in enumerate(data["blocks"], start=1):
        place = f"{kind} cell, block {number}"
        _check_keys(place, block, required=fields - {"combine"}, optional=("combine",))
        try:
            blocks.append(Block(**block))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    outputs = data.get("outputs", [])
    if not isinstance(outputs, list) or ("outputs" in data and not outputs):
        raise ValueError(f"{kind} cell: 'outputs' is a list of states, but this is {outputs!r}.")
    try:
        return Cell(tuple(blocks), tuple(outputs))
    except ValueError as error:
        raise ValueError(f"{kind} cell: {error}") from error


def _check_keys(
    what: str, data: Any, *, required: Iterable[str], optional: Iterable[str] = ()
) -> None:
    required, optional = sorted(required), sorted(optional)
    allowed = ", ".join(required + [f"{key} (optional)" for key in optional])
    if isinstance(data, dict):
        missing = [key for key in required if key not in data]
        unknown = [str(key) for key in data if key not in (*required, *optional)]
        if not missing and not unknown:
            return
        fault = f"lacks {', '.join(missing)}" if missing else f"also has {', '.join(unknown)}"
    else:
        fault = f"is {reprlib.repr(data)}"
    raise ValueError(f"{what} is an object with the fields {allowed}, but this one {fault}.")


def _state_index(field: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(
            f"{field} is {value!r}, but an index of a hidden state (0, 1, ...) is needed."
        )
    return int(value)
