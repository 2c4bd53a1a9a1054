"""Drawings: every operation in the paper's words, the same file for the same architecture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nasnet_jax.report.drawing import (
    architecture_figure,
    architecture_image,
    architecture_svg,
    save,
)
from nasnet_jax.report.network_drawing import layers, network_figure
from nasnet_jax.report.palette import FAMILIES, family
from nasnet_jax.space import LABELS, NASNET_A, OPERATIONS, Architecture, Cell, Macro, cost
from nasnet_jax.space.sampling import sample_architecture

SVG = "{http://www.w3.org/2000/svg}"


def words(svg: str) -> Counter[str]:
    """Counts the texts of a drawing."""
    texts = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return Counter("".join(text.itertext()).strip() for text in texts)


def expected_words(architecture: Architecture) -> Counter[str]:
    cells: tuple[Cell, ...] = (architecture.normal, architecture.reduction)
    names = Counter({"concat": 2})
    for cell in cells:
        for block in cell.blocks:
            names.update([LABELS[block.left_op], LABELS[block.right_op], block.combine])
    return names


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_drawing_shows_every_operation_and_combination(seed: int | None) -> None:
    drawn = NASNET_A if seed is None else sample_architecture(np.random.default_rng(seed))
    found = words(architecture_svg(drawn))
    expected = expected_words(drawn)
    assert {word: found[word] for word in expected} == dict(expected)


def test_notebooks_show_an_architecture_as_a_drawing() -> None:
    assert NASNET_A._repr_svg_() == architecture_svg(NASNET_A)
    assert NASNET_A._repr_svg_().startswith("<svg")


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("PDF", b"%PDF")],
)
def test_files_are_what_their_names_say_and_always_the_same(
    tmp_path: Path, suffix: str, start: bytes
) -> None:
    contents = []
    for name in ("a", "b"):
        path = tmp_path / "new folder" / f"{name}.{suffix}"
        save(architecture_figure(NASNET_A), path)
        contents.append(path.read_bytes())
    assert contents[0].startswith(start)
    assert contents[0] == contents[1]


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"svg, png, pdf.*'cell\.gif'"):
        save(architecture_figure(NASNET_A), tmp_path / "cell.gif")


def test_the_image_has_colour_on_white() -> None:
    image = architecture_image(NASNET_A)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    colours = {tuple(pixel) for pixel in np.unique(image.reshape(-1, 3), axis=0)}
    assert tuple(image[0, 0]) == (255, 255, 255)
    for fill in (FAMILIES["separable"], FAMILIES["pooling"], FAMILIES["combine"]):
        assert tuple(bytes.fromhex(fill[1:])) in colours


def test_every_operation_has_a_colour() -> None:
    assert {family(name) for name in OPERATIONS} <= set(FAMILIES)
    assert family("sep_conv_5x5") == "separable" and family("dilated_conv_3x3") == "convolution"
    assert family("avg_pool_3x3") == family("max_pool_7x7") == "pooling"


def test_the_stack_has_all_parameters_and_shapes_of_the_network() -> None:
    macro = Macro(num_cells=6, num_filters=32, num_classes=10, image_size=32)
    stack = layers(NASNET_A, macro)
    assert sum(layer.params for layer in stack) == cost(NASNET_A, macro).params
    assert [layer.shape for layer in stack] == [
        (32, 32, 3),
        (32, 32, 96),
        (32, 32, 192),
        (16, 16, 256),
        (16, 16, 384),
        (8, 8, 512),
        (8, 8, 768),
        (10,),
    ]
    assert stack[2].label == "normal cell × 6"


def test_a_network_is_drawn_with_its_cost(tmp_path: Path) -> None:
    macro = Macro(
        num_cells=4,
        num_filters=44,
        num_classes=1000,
        image_size=224,
        stem="imagenet",
        stem_multiplier=1.0,
    )
    save(network_figure(NASNET_A, macro), tmp_path / "mobile.svg")
    text = (tmp_path / "mobile.svg").read_text(encoding="utf-8")
    assert "5.29 M trainable parameters" in text  # The published 5.3 M.
    assert "7 × 7 × 1056" in text
