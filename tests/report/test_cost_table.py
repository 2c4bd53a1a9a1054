"""The table of a network's costs has the published numbers and adds up."""

from __future__ import annotations

import dataclasses

import pytest

from nasnet_jax.report.cost_table import cost_data, cost_text, stages
from nasnet_jax.space import NASNET_A, Architecture, Block, Cell, Macro, cost

MOBILE = Macro(
    num_cells=4,
    num_filters=44,
    num_classes=1000,
    image_size=224,
    stem="imagenet",
    stem_multiplier=1.0,
)


def test_published_numbers_of_mobile():
    data = cost_data(NASNET_A, MOBILE)
    assert (data["params"], data["trainable"]) == (5_326_716, 5_289_978)
    assert round(data["macs"] / 1e6, 1) == 563.6
    assert data["aux_head_params"] == 2_411_240
    assert Architecture.from_one_line(data["architecture"]) == NASNET_A
    shapes = {stage["name"]: stage["shape"] for stage in data["stages"]}
    assert shapes == {
        "stem": [111, 111, 32],
        "cell_stem_0": [56, 56, 44],
        "cell_stem_1": [28, 28, 88],
        "cell_0..cell_3": [28, 28, 264],
        "reduction_cell_0": [14, 14, 352],
        "cell_4..cell_7": [14, 14, 528],
        "reduction_cell_1": [7, 7, 704],
        "cell_8..cell_11": [7, 7, 1056],
        "final_layer": [1000],
    }


@pytest.mark.parametrize("number", ["params", "trainable", "macs"])
def test_stages_add_up(number):
    data = cost_data(NASNET_A, MOBILE)
    assert sum(stage[number] for stage in data["stages"]) == data[number]


def test_every_cell_is_in_one_stage():
    costs = cost(NASNET_A, MOBILE)
    assert [part for stage in stages(costs) for part in stage.parts] == list(costs.rows)


def test_cells_of_equal_shape_on_both_sides_of_a_kind_are_not_joined():
    """With as many outputs in both cells, a reduction's output is as wide as what follows it."""
    cell = Cell((Block(0, 1, "identity", "conv_1x1"),))
    macro = Macro(num_cells=1, num_filters=4, num_classes=None, image_size=8, stem_multiplier=1.0)
    names = [stage.name for stage in stages(cost(Architecture(cell, cell), macro))]
    assert names == ["stem", "cell_0", "reduction_cell_0", "cell_1", "reduction_cell_1", "cell_2"]


def test_table_has_a_line_for_each_stage_and_the_totals_last():
    lines = cost_text(NASNET_A, MOBILE).splitlines()
    assert lines[0] == "4 @ 1056, images of 224x224x3, 1000 classes"
    table = lines[2:15]
    assert len({len(line) for line in table}) == 1
    assert table[-1].split() == ["total", "5,289,978", "36,738", "563,638,816"]
    assert "cell_4..cell_7    14x14x528" in table[7]
    assert lines[-3].startswith("5,326,716 parameters")
    assert lines[-2].startswith("563.64 M multiply-adds")
    assert lines[-1].startswith("2,411,240 parameters of an auxiliary head")


def test_without_a_classifier():
    text = cost_text(NASNET_A, dataclasses.replace(MOBILE, num_classes=None))
    assert "4 @ 1056, images of 224x224x3, no classifier" in text
    assert "final_layer" not in text
    assert "auxiliary" not in text
