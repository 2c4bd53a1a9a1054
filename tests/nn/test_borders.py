"""Strided operations at the borders, against loops over windows, and where conventions agree."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.borders import EDGES, SAME, Borders, cell_borders
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.operations import operation
from nasnet_jax.space import Macro

KERAS = cell_borders("keras", "cell_stem_0")
TIMM = cell_borders("timm", "cell_stem_0")
SYMMETRIC = cell_borders("cadene_mobile", "cell_stem_0")
EVEN, ODD = (6, 4), (5, 7)


def image(size: tuple[int, int]) -> np.ndarray:
    """Negative everywhere, so that a zero from outside would win a maximum."""
    return np.random.default_rng(0).uniform(-2, -1, (1, *size, 2)).astype(np.float32)


def starts(side: int, symmetric: bool, size: int = 3) -> list[int]:
    """Where the windows of stride 2 begin."""
    reach = size // 2 if symmetric or side % 2 else size // 2 - 1
    return [2 * number - reach for number in range((side + 1) // 2)]


def pooled(x: np.ndarray, borders: Borders, kind: str) -> np.ndarray:
    """The pooling of 3x3 windows with stride 2, window by window."""
    rows, columns = (starts(side, borders.symmetric) for side in x.shape[1:3])
    found = np.zeros((1, len(rows), len(columns), x.shape[-1]), np.float32)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            inside = x[0, max(top, 0) : top + 3, max(left, 0) : left + 3].reshape(-1, x.shape[-1])
            outside = 9 - len(inside)
            if kind == "max":
                best = inside.max(0)
                found[0, i, j] = (
                    np.maximum(best, 0) if borders.zeros_in_maximum and outside else best
                )
            else:
                found[0, i, j] = inside.sum(0) / (
                    9 if borders.average_whole_windows else len(inside)
                )
    return found


@pytest.mark.parametrize("size", [EVEN, ODD], ids=["even", "odd"])
@pytest.mark.parametrize(
    "borders", [SAME, KERAS, TIMM, SYMMETRIC], ids=["same", "keras", "timm", "symmetric"]
)
def test_strided_pools_window_by_window(borders, size):
    x = image(size)
    maximum, average = (
        borders.max_pool(jnp.asarray(x), 3, 2),
        borders.average_pool(jnp.asarray(x), 3, 2),
    )
    np.testing.assert_allclose(maximum, pooled(x, borders, "max"), rtol=1e-6)
    np.testing.assert_allclose(average, pooled(x, borders, "average"), rtol=1e-5)


def test_the_conventions_differ_as_they_are_described():
    x = jnp.asarray(image(EVEN))
    assert float(KERAS.max_pool(x, 3, 2).max()) == 0.0
    for borders in (SAME, TIMM, SYMMETRIC):
        assert float(borders.max_pool(x, 3, 2).max()) < -1.0
    np.testing.assert_array_equal(TIMM.average_pool(x, 3, 2), KERAS.average_pool(x, 3, 2))
    assert float(jnp.abs(TIMM.average_pool(x, 3, 2) - SAME.average_pool(x, 3, 2)).max()) > 0.1


def strided(name: str, borders: Borders) -> nnx.Module:
    module = operation(name, 2, 3, 2, borders=borders, config=LayerConfig(), rngs=nnx.Rngs(0))
    module.eval()
    return module


@pytest.mark.parametrize(
    "name",
    [
        "identity",
        "conv_1x7_7x1",
        "dilated_conv_3x3",
        "sep_conv_5x5",
        "avg_pool_3x3",
        "max_pool_7x7",
    ],
)
def test_symmetric_windows_are_those_of_same_where_sides_are_odd(name):
    x = jnp.asarray(-image(ODD))
    found, expected = strided(name, SYMMETRIC)(x), strided(name, SAME)(x)
    assert found.shape == (1, 3, 4, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["conv_1x7_7x1", "dilated_conv_3x3", "conv_3x3", "sep_conv_5x5"])
def test_symmetric_windows_begin_a_pixel_earlier_where_sides_are_even(name):
    """With zeros around that make its sides odd, SAME has the same windows."""
    x = -image(EVEN)
    found = strided(name, SYMMETRIC)(jnp.asarray(x))
    assert found.shape == (1, 3, 2, 3)
    same = strided(name, SAME)
    # Two more in front keep the phase; the first window there is none of ours.
    longer = np.pad(x, ((0, 0), (2, 1), (2, 1), (0, 0)))
    expected = same(jnp.asarray(longer))[:, 1:4, 1:3]
    if name.startswith("sep"):
        # The second convolution would see what the first made of the zeros.
        found, expected = (
            np.asarray(module.first.depthwise(jnp.asarray(data)))
            for module, data in ((strided(name, SYMMETRIC), x), (same, longer))
        )
        expected = expected[:, 1:4, 1:3]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("edges", EDGES)
def test_borders_make_no_difference_without_a_stride(edges):
    borders = cell_borders(edges, "cell_stem_0")
    x = jnp.asarray(image(EVEN))
    for name in ("avg_pool_3x3", "max_pool_5x5"):
        found, expected = (
            operation(name, 2, 2, 1, borders=each, config=LayerConfig(), rngs=nnx.Rngs(0))(x)
            for each in (borders, SAME)
        )
        np.testing.assert_array_equal(found, expected)


MOBILE = Macro(num_cells=4, num_filters=44, num_classes=1, image_size=224, stem="imagenet")
LARGE = Macro(num_cells=6, num_filters=168, num_classes=1, image_size=331, stem="imagenet")


@pytest.mark.parametrize(("edges", "macro"), [("cadene_mobile", MOBILE), ("cadene_large", LARGE)])
def test_cadene_is_same_at_the_native_size(edges, macro):
    """The cells without a shift have inputs of odd sides there, and the others of even ones."""
    for place in macro.cells:
        if place.stride == 2:
            even = place.input_size[0] % 2 == 0
            assert cell_borders(edges, place.name) == (SAME if even else SYMMETRIC)


def test_normal_cells_have_no_borders_of_their_own():
    for edges in EDGES:
        assert cell_borders(edges, "cell_3") == SAME


def test_unknown_edges_are_an_error():
    with pytest.raises(ValueError, match="edges is one of same, keras, timm"):
        LayerConfig(edges="torch")
