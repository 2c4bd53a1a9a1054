from __future__ import annotations

import pytest

from nasnet_jax.space import NASNET_A, Architecture
from nasnet_jax.space.serialization import ONE_LINE_EXAMPLE


def test_the_one_line_form_of_nasnet_a():
    normal, reduction = NASNET_A.one_line().split("; ")
    assert normal.startswith("normal: sep_conv_5x5(0)+sep_conv_3x3(1) ")
    assert normal.endswith(" sep_conv_3x3(0)+identity(0) -> 1 2 3 4 5 6")
    assert reduction.startswith("reduction: sep_conv_5x5(0)+sep_conv_7x7(1) ")


def test_the_arrow_is_there_only_where_outputs_were_chosen():
    assert "->" not in NASNET_A.with_rule_outputs().one_line()
    assert "outputs" not in NASNET_A.with_rule_outputs().to_json()


def test_the_example_in_the_messages_is_valid():
    architecture = Architecture.from_one_line(ONE_LINE_EXAMPLE)
    assert architecture.normal.blocks[1].combine == "concat"
    assert architecture.reduction.outputs == (2, 3)
    assert architecture.one_line() == ONE_LINE_EXAMPLE


GOOD = "identity(0)+identity(1)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "2 cells separated by ';'"),
        (f"normal: {GOOD}", "2 cells separated by ';'.* has 1"),
        (f"reduction: {GOOD}; normal: {GOOD}", "'normal:' here"),
        (f"normal: {GOOD}; reduction: {GOOD} identity(0)", "reduction cell, block 2: 'identity"),
        (f"normal: identity(0)+++identity(1); reduction: {GOOD}", "normal cell, block 1: "),
        (f"normal: identity(-1)+identity(1); reduction: {GOOD}", "normal cell, block 1: "),
        (f"normal: {GOOD} ->; reduction: {GOOD}", "normal cell: '->' is followed by"),
        (f"normal: {GOOD} -> two; reduction: {GOOD}", "normal cell: '->' .* 'two'"),
        (f"normal: {GOOD}; reduction: pool(0)+identity(1)", "reduction cell, block 1: left_op"),
    ],
)
def test_a_wrong_line_says_where(text, message):
    with pytest.raises(ValueError, match=message):
        Architecture.from_one_line(text)
