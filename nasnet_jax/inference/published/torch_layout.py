"""The names and layouts that timm and Cadene share: timm's network began as a copy of Cadene's."""

from __future__ import annotations

from nasnet_jax.inference.published.networks import Layer, LayerKind, Path

AXES: dict[LayerKind, tuple[int, ...]] = {
    "conv": (2, 3, 1, 0),
    "depthwise": (2, 3, 1, 0),
    "linear": (1, 0),
}
"""PyTorch's kernels are `[out, in, height, width]`, those of linear layers `[out, in]`."""

_PUBLISHED_CELLS_IN_STAGE = 6
"""Mobile keeps the cell numbers of Large: its four cells of the second stage are 6 to 9."""

_NORM = {"scale": "weight", "offset": "bias", "mean": "running_mean", "variance": "running_var"}
_OUTSIDE_CELLS: dict[Path, str] = {
    ("stem", "conv"): "conv0.conv",
    ("stem", "norm"): "conv0.bn",
    ("head", "linear"): "last_linear",
}
_INPUTS: dict[Path, str] = {
    ("input_0", "conv"): "conv_1x1.conv",
    ("input_0", "norm"): "conv_1x1.bn",
    ("input_1", "conv"): "conv_prev_1x1.conv",
    ("input_1", "norm"): "conv_prev_1x1.bn",
}
_HALVED_INPUTS: dict[Path, str] = {
    **_INPUTS,
    ("input_1", "path_1"): "path_1.conv",
    ("input_1", "path_2"): "path_2.conv",
    ("input_1", "norm"): "final_path_bn",
}


def spellings(name: str) -> tuple[str, ...]:
    """The names that a name may stand for: Cadene's classifier was `linear` in 2017."""
    return (
        (name, name.replace("linear.", "last_linear.")) if name.startswith("linear.") else (name,)
    )


def names(layer: Layer) -> dict[str, str]:
    """The names that Cadene gave to a layer's arrays, and timm kept."""
    arrays = _NORM if layer.kind == "norm" else {leaf: leaf for leaf in layer.shapes}
    prefix = _module(layer)
    return {
        ours: f"{prefix}.{'weight' if theirs == 'kernel' else theirs}"
        for ours, theirs in arrays.items()
    }


def _module(layer: Layer) -> str:
    if layer.cell is None:
        return _OUTSIDE_CELLS[layer.part]
    if layer.part[0] == "blocks":
        _, block, side, _, kind = layer.part
        name = f"bn_sep_{layer.turn}" if kind == "norm" else f"separable_{layer.turn}.{kind}_conv2d"
        return f"{_cell_name(layer)}.comb_iter_{block}_{side}.{name}"
    inputs = _HALVED_INPUTS if layer.halves_previous else _INPUTS
    return f"{_cell_name(layer)}.{inputs[layer.part]}"


def _cell_name(layer: Layer) -> str:
    assert layer.cell is not None
    if layer.cell.kind == "reduction":
        return layer.cell.name
    stage, place = divmod(int(layer.cell.name.removeprefix("cell_")), layer.macro.num_cells)
    return f"cell_{stage * _PUBLISHED_CELLS_IN_STAGE + place}"
