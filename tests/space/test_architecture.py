from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.space import (
    COMBINERS,
    NASNET_A,
    OPERATIONS,
    Architecture,
    Block,
    Cell,
    sample_architecture,
)


@st.composite
def cells(draw: st.DrawFn, num_blocks: int) -> Cell:
    operation = st.sampled_from(OPERATIONS)
    blocks = []
    for index in range(num_blocks):
        state = st.integers(0, index + 1)
        combine = draw(st.sampled_from(COMBINERS))
        blocks.append(
            Block(draw(state), draw(state), draw(operation), draw(operation), combine=combine)
        )
    by_rule = Cell(tuple(blocks))
    more = draw(st.sets(st.integers(0, num_blocks + 1)))
    return Cell(tuple(blocks), outputs=tuple(more | set(by_rule.unused_states)))


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    num_blocks = draw(st.integers(2, 7))
    return Architecture(draw(cells(num_blocks)), draw(cells(num_blocks)))


@given(architectures())
def test_every_written_form_goes_both_ways(architecture):
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert Architecture.from_json(json.loads(architecture.to_json())) == architecture
    assert Architecture.from_one_line(architecture.one_line()) == architecture
    assert "," not in architecture.one_line()
    assert "\n" not in architecture.one_line()


@given(architectures())
def test_decisions_go_both_ways_and_carry_no_outputs(architecture):
    ruled = architecture.with_rule_outputs()
    decisions = ruled.decisions()
    assert decisions.shape == (10 * architecture.num_blocks,)
    assert decisions.dtype == np.int32
    assert Architecture.from_decisions(decisions) == ruled
    if architecture.follows_output_rule:
        assert architecture == ruled
    else:
        with pytest.raises(ValueError, match="with_rule_outputs"):
            architecture.decisions()


@given(architectures())
def test_equal_architectures_hash_alike_and_cannot_change(architecture):
    twin = Architecture.from_json(architecture.to_json())
    assert len({architecture, twin}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        architecture.normal.blocks[0].left_input = 1


@given(architectures(), st.data())
def test_canonical_form_ignores_the_order_of_added_halves_only(architecture, data):
    index = data.draw(st.integers(0, architecture.num_blocks - 1))
    blocks = list(architecture.normal.blocks)
    block = blocks[index]
    blocks[index] = Block(
        block.right_input, block.left_input, block.right_op, block.left_op, combine=block.combine
    )
    swapped = Architecture(Cell(tuple(blocks), architecture.normal.outputs), architecture.reduction)
    same = block.combine == "add" or blocks[index] == block
    assert (swapped.canonical() == architecture.canonical()) == same
    assert architecture.canonical().canonical() == architecture.canonical()
    assert architecture.canonical().normal.outputs == architecture.normal.outputs


def test_canonical_form_sorts_by_input_then_operation():
    assert Block(0, 0, "sep_conv_3x3", "identity").canonical() == Block(
        0, 0, "identity", "sep_conv_3x3"
    )
    # The identity comes later here, because the input decides first.
    assert Block(1, 0, "identity", "conv_3x3").canonical() == Block(0, 1, "conv_3x3", "identity")


def test_unused_states_include_inputs_and_give_the_outputs():
    cell = Cell((Block(0, 0, "identity", "conv_1x1"), Block(2, 2, "identity", "identity")))
    assert cell.unused_states == (1, 3)
    assert cell.outputs == (1, 3)
    assert cell == Cell(cell.blocks, outputs=(3, 1))
    assert cell.follows_output_rule


def test_decision_order_is_the_papers():
    block = Block(1, 0, "conv_3x3", "identity", combine="concat")
    reduction = Cell((Block(0, 1, "identity", "sep_conv_7x7"),))
    decisions = Architecture(Cell((block,)), reduction).decisions()
    assert decisions.tolist() == [1, 0, 9, 0, 1, 0, 1, 0, 12, 0]


def test_blocks_know_what_is_allowed():
    with pytest.raises(
        ValueError, match=r"left_op is 'conv_9x9', but one of identity, .*sep_conv_7"
    ):
        Block(0, 1, "conv_9x9", "identity")
    with pytest.raises(ValueError, match="combine is 'multiply', but one of add, concat"):
        Block(0, 1, "identity", "identity", combine="multiply")
    for wrong in (-1, True, 0.5, "0"):
        with pytest.raises(ValueError, match="right_input is .* index of a hidden state"):
            Block(0, wrong, "identity", "identity")


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ((2, 4), "states from 0 to 3"),
        ((3, 3), "different states"),
        ((0, 1), "leave out state 3, the result of block 2"),
    ],
)
def test_outputs_are_checked(outputs, message):
    blocks = (Block(0, 1, "identity", "identity"), Block(2, 1, "identity", "identity"))
    with pytest.raises(ValueError, match=message):
        Cell(blocks, outputs=outputs)


def test_cells_must_have_blocks_and_equally_many():
    one = Cell((Block(0, 1, "identity", "identity"),))
    two = Cell((*one.blocks, Block(0, 2, "identity", "identity")))
    with pytest.raises(ValueError, match="the normal cell has 1 and the reduction cell 2"):
        Architecture(one, two)
    with pytest.raises(ValueError, match="at least one block"):
        Cell(())
    with pytest.raises(TypeError, match="block 2: a Block is needed"):
        Cell((*one.blocks, "identity"))
    with pytest.raises(TypeError, match="reduction cell: a Cell is needed"):
        Architecture(one, two.blocks)


def _edited(change) -> dict:
    data = json.loads(NASNET_A.to_json())
    change(data)
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("reduction"), "this one lacks reduction"),
        (lambda d: d.update(extra=1), "also has extra"),
        (
            lambda d: d["normal"].pop("blocks"),
            "normal cell is an object with the fields blocks.*lacks blocks",
        ),
        (lambda d: d["normal"].update(blocks=7), "normal cell: 'blocks' is a list"),
        (
            lambda d: d["normal"].update(blocks=[]),
            "normal cell: 'blocks' is a list of at least one",
        ),
        (lambda d: d["normal"].update(outputs=[]), "normal cell: 'outputs' is a list"),
        (
            lambda d: d["normal"].update(outputs=[2, 3, 4, 5, 6, 9]),
            "normal cell: outputs .* 0 to 6",
        ),
        (lambda d: d["normal"]["blocks"].pop(), "normal cell: outputs"),
        (
            lambda d: d["reduction"]["blocks"][3].update(left_op="magic"),
            "reduction cell, block 4: left_op is 'magic'",
        ),
        (
            lambda d: d["reduction"]["blocks"][3].update(left_input=5),
            "reduction cell: block 4: left_input is 5, .* 0 to 4",
        ),
        (
            lambda d: d["reduction"]["blocks"][0].update(left_input="0"),
            "reduction cell, block 1: left_input is '0'",
        ),
        (
            lambda d: d["normal"]["blocks"][1].pop("left_op"),
            "normal cell, block 2 .*lacks left_op",
        ),
        (lambda d: d["normal"]["blocks"].insert(0, None), "normal cell, block 1 is an object"),
    ],
)
def test_a_file_edited_into_nonsense_says_where(tmp_path, change, message):
    path = tmp_path / "best.json"
    path.write_text(json.dumps(_edited(change)))
    with pytest.raises(ValueError, match=message) as error:
        Architecture.load(path)
    assert str(path) in str(error.value)


def test_nasnet_a_is_the_released_one():
    # The flat index lists and the operations of the released code.
    def flat(cell: Cell) -> list[int]:
        return [state for block in cell.blocks for state in (block.left_input, block.right_input)]

    assert flat(NASNET_A.normal) == [0, 1, 1, 1, 0, 1, 1, 1, 0, 0]
    assert flat(NASNET_A.reduction) == [0, 1, 0, 1, 0, 1, 3, 2, 2, 0]
    assert NASNET_A.normal.outputs == (1, 2, 3, 4, 5, 6)
    assert NASNET_A.reduction.outputs == (3, 4, 5, 6)
    assert NASNET_A.normal.unused_states == (2, 3, 4, 5, 6)
    assert NASNET_A.reduction.unused_states == (4, 5, 6)
    blocks = NASNET_A.normal.blocks + NASNET_A.reduction.blocks
    assert {block.combine for block in blocks} == {"add"}
    operations = [operation for block in blocks for operation in (block.left_op, block.right_op)]
    assert sorted(set(operations)) == [
        "avg_pool_3x3",
        "identity",
        "max_pool_3x3",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
    ]
    assert operations.count("sep_conv_7x7") == 2
    with pytest.raises(ValueError, match="NASNET_A"):
        NASNET_A.decisions()


def test_saving_replaces_the_file_whole_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "new" / "architecture.json"
    NASNET_A.save(path)
    other = sample_architecture(np.random.default_rng(0))
    other.save(path)
    assert Architecture.load(path) == other
    assert [file.name for file in path.parent.iterdir()] == ["architecture.json"]


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "architecture.json"
    NASNET_A.save(path)

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        sample_architecture(np.random.default_rng(0)).save(path)
    assert Architecture.load(path) == NASNET_A
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_file_and_a_file_of_another_kind_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no architecture file .*none\.json"):
        Architecture.load(tmp_path / "none.json")
    path = tmp_path / "bad.json"
    path.write_text('{"normal": ')
    with pytest.raises(ValueError, match=r"bad\.json.*not JSON.*line 1, column 12"):
        Architecture.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"bad\.json.*no valid architecture"):
        Architecture.load(path)


def test_the_space_imports_no_jax():
    program = "import sys, nasnet_jax.space, nasnet_jax.report.text; print('jax' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
