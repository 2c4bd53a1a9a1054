from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.space import NASNET_A, OPERATIONS, Architecture, Block, Cell, Macro, cost

CIFAR = Macro(num_cells=6, num_filters=32, num_classes=10, image_size=32)
MOBILE = Macro(
    num_cells=4,
    num_filters=44,
    num_classes=1000,
    image_size=224,
    stem="imagenet",
    stem_multiplier=1.0,
)
LARGE = Macro(
    num_cells=6,
    num_filters=168,
    num_classes=1000,
    image_size=331,
    stem="imagenet",
    skip_reduction_layer_input=True,
)


@pytest.mark.parametrize(
    ("macro", "params", "statistics", "variables", "macs", "aux_head_params"),
    [
        (MOBILE, 5_289_978, 36_738, 5_326_716, "563.64 M", 2_411_240),
        (LARGE, 88_753_150, 196_668, 88_949_818, "23.783 B", 4_567_784),
        (CIFAR, 3_346_538, 37_248, 3_383_786, "544.3 M", 1_631_498),
    ],
    ids=["mobile", "large", "cifar"],
)
def test_published_networks(macro, params, statistics, variables, macs, aux_head_params):
    result = cost(NASNET_A, macro)
    assert (result.params, result.statistics, result.variables) == (params, statistics, variables)
    assert result.aux_head_params == aux_head_params
    digits, unit = macs.split()
    scaled = result.macs / {"M": 1e6, "B": 1e9}[unit]
    assert f"{scaled:.{len(digits.split('.')[1])}f}" == digits


@pytest.mark.parametrize(
    ("macro", "params"),
    [(MOBILE, 5_291_035), (LARGE, 88_757_183)],
    ids=["mobile", "large"],
)
def test_released_checkpoints_have_a_background_class(macro, params):
    # 1,057 and 4,033 parameters more than with 1,000 classes: one more row of the classifier.
    assert cost(NASNET_A, dataclasses.replace(macro, num_classes=1001)).params == params


def test_the_figures_outputs_are_what_others_report():
    # The outputs of the paper's Figure 4 give the 3.1 M that the DARTS paper lists.
    assert f"{cost(NASNET_A.with_rule_outputs(), CIFAR).params / 1e6:.2f}" == "3.08"


@pytest.mark.parametrize(
    ("filters", "params", "macs"), [(32, "1.29", 232), (24, "0.76", 136)], ids=["F=32", "F=24"]
)
def test_nasnet_a_at_the_size_of_a_child(filters, params, macs):
    result = cost(NASNET_A, dataclasses.replace(CIFAR, num_cells=2, num_filters=filters))
    assert f"{result.params / 1e6:.2f}" == params
    assert round(result.macs / 1e6) == macs


def test_rows_add_up_and_carry_the_shapes():
    result = cost(NASNET_A, CIFAR)
    assert result.rows[0].name == "stem"
    assert result.rows[0].shape == (32, 32, 96)
    assert result.rows[0].params == 27 * 96 + 2 * 96
    assert result.rows[0].macs == 27 * 96 * 32 * 32
    assert result.rows[7].name == "reduction_cell_0"
    assert result.rows[7].shape == (16, 16, 256)
    assert result.rows[-1].name == "final_layer"
    assert result.rows[-1].params == 768 * 10 + 10
    assert result.params == sum(row.params for row in result.rows)
    assert result.macs == sum(row.macs for row in result.rows)


def test_without_classes_there_is_no_head():
    headless = cost(NASNET_A, dataclasses.replace(CIFAR, num_classes=None))
    assert headless.rows[-1].name == "cell_17"
    assert headless.params == 3_346_538 - 7_690
    assert headless.aux_head_params == 0


ONE_CELL = Macro(
    num_cells=1,
    num_filters=8,
    num_classes=None,
    image_size=8,
    num_reductions=0,
    uniform_inputs=True,
)
ONE_REDUCTION = dataclasses.replace(ONE_CELL, num_reductions=1)


def single(operation: str, combine: str = "add") -> Architecture:
    """One block that reads h_i with the operation and h_{i-1} with the identity."""
    cell = Cell((Block(0, 1, operation, "identity", combine=combine),))
    return Architecture(cell, cell)


WEIGHTS_IN_F2 = {"conv_1x3_3x1": 6, "conv_1x7_7x1": 14, "dilated_conv_3x3": 9, "conv_1x1": 1}
WEIGHTS_IN_F2 |= {"conv_3x3": 9, "sep_conv_3x3": 2, "sep_conv_5x5": 2, "sep_conv_7x7": 2}
DEPTHWISE_IN_F = {"sep_conv_3x3": 18, "sep_conv_5x5": 50, "sep_conv_7x7": 98}
NORMALIZATIONS = {"conv_1x1": 1, "conv_3x3": 1, "dilated_conv_3x3": 1}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_in_closed_form(operation):
    filters, positions = 8, 64
    weights = WEIGHTS_IN_F2.get(operation, 0) * filters**2
    weights += DEPTHWISE_IN_F.get(operation, 0) * filters
    normalizations = NORMALIZATIONS.get(operation, 2 if weights else 0)
    base, result = cost(single("identity"), ONE_CELL), cost(single(operation), ONE_CELL)
    assert result.params - base.params == weights + normalizations * 2 * filters
    assert result.statistics - base.statistics == normalizations * 2 * filters
    assert result.macs - base.macs == weights * positions


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_with_stride_two(operation):
    filters, before, after = 16, 64, 16  # the reduction cell of 8x8 images
    weights = WEIGHTS_IN_F2.get(operation, 0) * filters**2
    weights += DEPTHWISE_IN_F.get(operation, 0) * filters
    macs = weights * after
    if operation in ("conv_1x3_3x1", "conv_1x7_7x1"):
        macs = weights // 2 * (before + after)  # only the second convolution strides
    if operation == "identity":
        weights, macs = filters**2, filters**2 * after
    base, result = (
        cost(single(name), ONE_REDUCTION).rows[2] for name in ("avg_pool_3x3", operation)
    )
    normalizations = NORMALIZATIONS.get(operation, 2 if weights else 0)
    if operation == "identity":
        normalizations = 1
    assert result.name == "reduction_cell_0"
    assert result.params - base.params == weights + normalizations * 2 * filters
    assert result.macs - base.macs == macs


def test_concatenation_projects_back_to_f():
    added, joined = (cost(single("conv_1x1", combine), ONE_CELL) for combine in ("add", "concat"))
    assert joined.params - added.params == 2 * 8 * 8 + 2 * 8
    assert joined.macs - added.macs == 2 * 8 * 8 * 64
    assert joined.rows[1].shape == added.rows[1].shape


def test_an_unused_input_of_a_reduction_cell_is_reduced():
    normal = single("identity").normal
    one_sided = Cell((Block(0, 0, "avg_pool_3x3", "avg_pool_3x3"),))
    both = Cell((Block(0, 1, "avg_pool_3x3", "avg_pool_3x3"),))
    unused, used = (
        cost(Architecture(normal, cell), ONE_REDUCTION).rows[2] for cell in (one_sided, both)
    )
    assert unused.params - used.params == 16 * 16 + 2 * 16
    assert unused.macs - used.macs == 16 * 16 * 16
    assert (unused.shape, used.shape) == ((4, 4, 32), (4, 4, 16))


@given(
    left=st.sampled_from(OPERATIONS),
    right=st.sampled_from(OPERATIONS),
    size=st.tuples(st.integers(4, 40), st.integers(4, 40)),
)
def test_parameters_do_not_depend_on_the_image_and_halves_commute(left, right, size):
    def architecture(first: str, second: str) -> Architecture:
        cell = Cell((Block(0, 0, first, second), Block(2, 1, second, first)))
        return Architecture(cell, cell)

    macro = dataclasses.replace(ONE_REDUCTION, image_size=size)
    result = cost(architecture(left, right), macro)
    assert result.params == cost(architecture(left, right), ONE_REDUCTION).params
    mirrored = architecture(left, right).canonical()
    assert (cost(mirrored, macro).params, cost(mirrored, macro).macs) == (
        result.params,
        result.macs,
    )
