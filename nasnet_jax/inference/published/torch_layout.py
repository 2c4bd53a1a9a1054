"""What timm and Cadene share: timm's network began as a copy of Cadene's.

Files are read without running anything that stands in them: `.safetensors` are plain arrays, and
PyTorch reads the others with `weights_only=True`.
"""

from __future__ import annotations

import importlib.util
import pathlib
import pickle
import warnings

import safetensors
import safetensors.numpy

from nasnet_jax.inference.published.networks import Layer, LayerKind, Path
from nasnet_jax.inference.published.source import Tensors

AXES: dict[LayerKind, tuple[int, ...]] = {
    "conv": (2, 3, 1, 0),
    "depthwise": (2, 3, 1, 0),
    "linear": (1, 0),
}
"""PyTorch's kernels are `[out, in, height, width]`, those of linear layers `[out, in]`."""

_COUNTER = ".num_batches_tracked"
"""What PyTorch's batch normalization counts while training, and inference does not use."""

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


def read(file: pathlib.Path) -> Tensors:
    """Reads a state dictionary: `.safetensors`, or any other ending in PyTorch's own format.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds something else than tensors, or needs PyTorch and there is
            none.
    """
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {str(file)!r}.")
    if file.suffix == ".safetensors":
        tensors = _read_safetensors(file)
    else:
        tensors = _read_pickled(file)
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(_COUNTER)}


def _read_safetensors(file: pathlib.Path) -> Tensors:
    try:
        return safetensors.numpy.load_file(file)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(
            f"{str(file)!r} cannot be read as safetensors: {error}. It may have been cut short: get "
            "it again."
        ) from error


def _read_pickled(file: pathlib.Path) -> Tensors:
    if importlib.util.find_spec("torch") is None:
        raise ValueError(
            f"Reading {str(file)!r} needs PyTorch (pip install torch). Or convert it where PyTorch "
            "is, with safetensors.torch.save_file, and give the .safetensors."
        )
    import torch

    try:
        with warnings.catch_warnings():
            # About old pickle protocols; what matters is raised.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own words advise to load it unsafely.
        raise ValueError(
            f"{str(file)!r} is damaged, or holds more than weights, which is not read because it "
            "could run code. Save the network's state_dict() alone."
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
        raise ValueError(
            f"{str(file)!r} cannot be read as PyTorch's weights: {reason}. It may have been cut "
            "short: get it again."
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise ValueError(
            f"{str(file)!r} holds something else than the tensors of one network. Save its "
            "state_dict() alone."
        )
    return {str(name): tensor.numpy() for name, tensor in content.items()}


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
