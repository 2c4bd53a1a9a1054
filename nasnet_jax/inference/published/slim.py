"""The authors' own checkpoints, of TF-slim (`research/slim/nets/nasnet`), with averaged weights.

No package ships slim's network, and a checkpoint of it has not been seen by this project: names and
shapes are those that its source code gives, and the reader is tested on checkpoints that TensorFlow
writes with these names.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from nasnet_jax.inference.preprocessing import Preprocessing
from nasnet_jax.inference.published import hdf5, tf_checkpoint
from nasnet_jax.inference.published.networks import Layer, LayerKind, Path
from nasnet_jax.inference.published.source import Source, Tensors

_ARRAYS: dict[LayerKind, dict[str, str]] = {
    "conv": {"kernel": "weights"},
    "depthwise": {"kernel": "depthwise_weights"},
    "linear": {"kernel": "weights", "bias": "biases"},
    "norm": {
        "scale": "gamma",
        "offset": "beta",
        "mean": "moving_mean",
        "variance": "moving_variance",
    },
}
_KERAS_ARRAYS = {
    "kernel": "weights",
    "bias": "biases",
    "depthwise_kernel": "depthwise_weights",
    "pointwise_kernel": "pointwise_weights",
}
"""What Keras calls slim's arrays: there are Keras networks whose layers have slim's names."""
_OUTSIDE_CELLS: dict[Path, str] = {
    ("stem", "conv"): "conv0",
    ("stem", "norm"): "conv0_bn",
    ("head", "linear"): "final_layer/FC",
}
_INPUTS: dict[Path, str] = {
    ("input_0", "conv"): "1x1",
    ("input_0", "norm"): "beginning_bn",
    ("input_1", "conv"): "prev_1x1",
    ("input_1", "norm"): "prev_bn",
}
_HALVED_INPUTS: dict[Path, str] = {
    **_INPUTS,
    ("input_1", "path_1"): "path1_conv",
    ("input_1", "path_2"): "path2_conv",
    ("input_1", "norm"): "final_path_bn",
}


def read(file: pathlib.Path) -> Tensors:
    """Reads a TensorFlow checkpoint, or an HDF5 file of a Keras network with slim's names.

    Args:
        file: As for `tf_checkpoint.find`, or ending in `.h5`.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is damaged.
    """
    if file.suffix in hdf5.ENDINGS:
        return hdf5.read(file, hdf5.arrays)
    return tf_checkpoint.read(tf_checkpoint.find(file))


def spellings(name: str) -> Iterator[str]:
    """The names of slim that a name may stand for."""
    yield name
    scope, _, array = name.rpartition("/")
    if array in _KERAS_ARRAYS:
        yield f"{scope}/{_KERAS_ARRAYS[array]}"
    if "fully_connected" in scope:
        yield f"{scope.replace('fully_connected', 'FC')}/{array}"


def names(layer: Layer) -> dict[str, str]:
    """The names of a layer's arrays in slim."""
    arrays = _ARRAYS[layer.kind]
    if layer.part[0] == "blocks" and layer.part[-1] == "pointwise":
        arrays = {"kernel": "pointwise_weights"}
    return {ours: f"{_scope(layer)}/{theirs}" for ours, theirs in arrays.items()}


def _scope(layer: Layer) -> str:
    if layer.cell is None:
        return _OUTSIDE_CELLS[layer.part]
    if layer.part[0] == "blocks":
        _, block, side, *_ = layer.part
        operation = "bn_sep" if layer.kind == "norm" else "separable"
        size = layer.operation.rpartition("_")[2]
        name = f"comb_iter_{block}/{side}/{operation}_{size}_{layer.turn}"
    else:
        name = (_HALVED_INPUTS if layer.halves_previous else _INPUTS)[layer.part]
    return f"{layer.cell.name}/{name}"


SLIM = Source(
    title="TF-slim",
    read=read,
    names=names,
    separator="/",
    spellings=spellings,
    axes={"conv": (0, 1, 2, 3), "depthwise": (0, 1, 3, 2), "linear": (0, 1)},
    edges={"mobile": "same", "large": "same"},
    preprocessing={
        "mobile": Preprocessing.imagenet((224, 224)),
        "large": Preprocessing.imagenet((331, 331)),
    },
)
