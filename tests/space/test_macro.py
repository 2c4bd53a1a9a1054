from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.space import NASNET_A, STEM, Macro, aux_head_map_size

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


def shapes(macro: Macro) -> dict[str, tuple[int, int, int]]:
    """Output shapes of NASNet-A's cells, by name."""
    widths = macro.widths(NASNET_A)
    return {
        cell.name: (*cell.output_size, width.output)
        for cell, width in zip(macro.cells, widths, strict=True)
    }


@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        # End points that the released code's tests list.
        (
            CIFAR,
            {
                "cell_0": (32, 32, 192),
                "cell_5": (32, 32, 192),
                "reduction_cell_0": (16, 16, 256),
                "cell_11": (16, 16, 384),
                "reduction_cell_1": (8, 8, 512),
                "cell_17": (8, 8, 768),
            },
        ),
        (
            MOBILE,
            {
                "cell_stem_0": (56, 56, 44),
                "cell_stem_1": (28, 28, 88),
                "cell_0": (28, 28, 264),
                "reduction_cell_0": (14, 14, 352),
                "cell_7": (14, 14, 528),
                "reduction_cell_1": (7, 7, 704),
                "cell_11": (7, 7, 1056),
            },
        ),
        (
            LARGE,
            {
                "cell_stem_0": (83, 83, 168),
                "cell_stem_1": (42, 42, 336),
                "cell_0": (42, 42, 1008),
                "reduction_cell_0": (21, 21, 1344),
                "cell_11": (21, 21, 2016),
                "reduction_cell_1": (11, 11, 2688),
                "cell_17": (11, 11, 4032),
            },
        ),
    ],
)
def test_published_end_points(macro, expected):
    assert expected.items() <= shapes(macro).items()


@pytest.mark.parametrize(
    ("macro", "size", "filters"),
    [(CIFAR, (32, 32), 96), (MOBILE, (111, 111), 32), (LARGE, (165, 165), 96)],
)
def test_published_stems(macro, size, filters):
    assert (macro.stem_size, macro.stem_filters) == (size, filters)


@pytest.mark.parametrize(
    ("macro", "total", "name", "left"),
    [(CIFAR, 20, "cell_11", 4), (MOBILE, 16, "cell_7", 4), (LARGE, 22, "cell_11", 6)],
)
def test_number_of_cells_and_place_of_the_auxiliary_head(macro, total, name, left):
    assert [cell.index for cell in macro.cells] == list(range(total))
    assert macro.aux_head_cell.name == name
    assert aux_head_map_size(macro.aux_head_cell.output_size) == (left, left)


def names_of_inputs(macro: Macro, name: str) -> tuple[str | None, str | None]:
    cell = next(cell for cell in macro.cells if cell.name == name)

    def source(index: int | None) -> str | None:
        return index if index is None else "stem" if index == STEM else macro.cells[index].name

    return source(cell.current), source(cell.previous)


def test_inputs_of_the_cells():
    assert names_of_inputs(CIFAR, "cell_0") == ("stem", None)
    assert names_of_inputs(CIFAR, "cell_1") == ("cell_0", "stem")
    assert names_of_inputs(CIFAR, "reduction_cell_0") == ("cell_5", "cell_4")
    assert names_of_inputs(CIFAR, "cell_6") == ("reduction_cell_0", "cell_5")
    assert names_of_inputs(CIFAR, "cell_7") == ("cell_6", "reduction_cell_0")
    assert names_of_inputs(MOBILE, "cell_stem_0") == ("stem", None)
    assert names_of_inputs(MOBILE, "cell_stem_1") == ("cell_stem_0", "stem")
    assert names_of_inputs(MOBILE, "cell_0") == ("cell_stem_1", "cell_stem_0")


def test_large_skips_the_input_of_a_reduction():
    assert names_of_inputs(LARGE, "cell_6") == ("reduction_cell_0", "cell_4")
    assert names_of_inputs(LARGE, "cell_7") == ("cell_6", "reduction_cell_0")
    # The reductions of the stem are not skipped.
    assert names_of_inputs(LARGE, "cell_0") == ("cell_stem_1", "cell_stem_0")


def test_transforms_of_the_previous_input_in_the_released_code():
    transforms = [width.transform for width in CIFAR.widths(NASNET_A)]
    assert transforms[:3] == ["raw", "project", "project"]
    assert [index for index, transform in enumerate(transforms) if transform == "reduce"] == [7, 14]
    assert CIFAR.widths(NASNET_A)[0].state_1 == 96
    assert CIFAR.widths(NASNET_A)[1].state_1 == 32


def test_an_input_of_equal_width_is_kept_only_in_the_released_code():
    # With a stem of F channels the second cell's previous input already has F channels.
    macro = Macro(num_cells=2, num_filters=8, num_classes=10, image_size=8, stem_multiplier=1.0)
    assert macro.widths(NASNET_A)[1].transform == "keep"
    uniform = dataclasses.replace(macro, uniform_inputs=True)
    assert uniform.widths(NASNET_A)[1].transform == "project"


def test_uniform_inputs_read_the_stem_twice():
    macro = dataclasses.replace(CIFAR, uniform_inputs=True)
    assert names_of_inputs(macro, "cell_0") == ("stem", "stem")
    widths = macro.widths(NASNET_A)
    assert {width.transform for width in widths} == {"project", "reduce"}
    assert all(
        width.state_1 == cell.filters for cell, width in zip(macro.cells, widths, strict=True)
    )


@given(
    num_cells=st.integers(1, 4),
    num_reductions=st.integers(0, 4),
    size=st.tuples(st.integers(16, 40), st.integers(16, 40)),
    stem=st.sampled_from(["cifar", "imagenet"]),
    skip=st.booleans(),
    uniform=st.booleans(),
)
def test_every_skeleton_fits_together(num_cells, num_reductions, size, stem, skip, uniform):
    if stem == "imagenet":
        size = (size[0] * 8, size[1] * 8)
    macro = Macro(
        num_cells=num_cells,
        num_filters=8,
        num_classes=None,
        image_size=size,
        stem=stem,
        num_reductions=num_reductions,
        skip_reduction_layer_input=skip,
        uniform_inputs=uniform,
    )
    kinds = [cell.kind for cell in macro.cells]
    assert kinds.count("normal") == num_cells * (num_reductions + 1)
    assert kinds.count("reduction") == num_reductions + (2 if stem == "imagenet" else 0)
    assert macro.cells[-1].filters == 8 * 2**num_reductions
    assert len({cell.name for cell in macro.cells}) == len(macro.cells)
    for cell in macro.cells:
        halved = tuple((side + 1) // 2 for side in cell.input_size)
        assert cell.output_size == (halved if cell.stride == 2 else cell.input_size)
        if cell.previous_size not in (None, cell.input_size):
            # A factorized reduction must bring it to exactly the current size.
            assert tuple((side + 1) // 2 for side in cell.previous_size) == cell.input_size
            assert cell.kind == "normal" or cell.name == "cell_stem_1"


def test_no_auxiliary_head_where_there_is_no_place_for_one():
    assert dataclasses.replace(CIFAR, num_reductions=0).aux_head_cell is None
    assert dataclasses.replace(CIFAR, image_size=8).aux_head_cell is None
    assert dataclasses.replace(CIFAR, num_reductions=1).aux_head_cell.name == "cell_5"


def test_equal_macros_hash_alike_and_survive_json():
    square = dataclasses.replace(CIFAR, image_size=(32, 32))
    assert square == CIFAR
    assert hash(square) == hash(CIFAR)
    assert Macro(**json.loads(json.dumps(dataclasses.asdict(LARGE)))) == LARGE
    assert dataclasses.replace(CIFAR, num_classes=0).num_classes is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 2}, "Images of 2x2 are too small for the 2 reduction cells.*number 2"),
        ({"image_size": (32, 1)}, "Images of 32x1 are too small.*number 1 .* side of 1"),
        ({"image_size": 8, "stem": "imagenet"}, "Images of 8x8 .*4 reduction cells.*'cifar' stem"),
        ({"image_size": 1, "stem": "imagenet"}, "Images of 1x1"),
        ({"image_size": 0}, "image_size is a height and a width"),
        ({"image_size": (32, 32, 3)}, "image_size is a height and a width"),
        ({"stem": "mnist"}, "'cifar' or 'imagenet', but it is 'mnist'"),
        ({"num_cells": 0}, "num_cells must be at least 1, but it is 0"),
        ({"num_filters": 1}, "num_filters must be at least 2"),
        (
            {"num_filters": 7, "stem": "imagenet", "image_size": 64},
            "num_filters must be at least 8",
        ),
        ({"num_reductions": -1}, "num_reductions must be at least 0"),
        ({"num_classes": -1}, "num_classes must be at least 1"),
        ({"image_channels": 0}, "image_channels must be at least 1"),
        ({"stem_multiplier": 0.01}, "stem_multiplier is 0.01"),
    ],
)
def test_impossible_skeletons_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CIFAR, **changes)


def test_the_smallest_images_that_fit_are_accepted():
    assert dataclasses.replace(CIFAR, image_size=3).cells[-1].output_size == (1, 1)
    tiny = dataclasses.replace(CIFAR, image_size=1, num_reductions=0)
    assert tiny.cells[-1].output_size == (1, 1)
    # An ImageNet stem without further reductions halves three times: 7 -> 3 -> 2 -> 1.
    small = dataclasses.replace(CIFAR, image_size=7, num_reductions=0, stem="imagenet")
    assert small.cells[-1].output_size == (1, 1)
