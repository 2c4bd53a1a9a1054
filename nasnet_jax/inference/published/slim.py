"""The authors' own checkpoints, of TF-slim (`research/slim/nets/nasnet`), with averaged weights.

No package ships slim's network, and a checkpoint of it has not been seen by this project: names and
shapes are those that its source code gives, and the reader is tested on checkpoints that TensorFlow
writes with these names.
"""

from __future__ import annotations

import pathlib
import re

from nasnet_jax.inference.preprocessing import Preprocessing
from nasnet_jax.inference.published.networks import Layer, LayerKind, Path
from nasnet_jax.inference.published.source import Source, Tensors

_AVERAGE = "/ExponentialMovingAverage"
_ONLY_IN_TRAINING = re.compile(r"^aux_\d+/|^global_step$|/(RMSProp|RMSProp_1|Momentum)$")
"""The auxiliary head, the step, and what the optimiser keeps for each parameter."""

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
    """Reads a TensorFlow checkpoint; the moving average of each variable, where there is one.

    Args:
        file: `model.ckpt`, or its `.index` file, or the folder that holds one checkpoint.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is damaged.
    """
    prefix = _prefix(file)
    # Only here, since nothing else in nasnet_jax.inference needs TensorFlow.
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        variables = set(reader.get_variable_to_shape_map())
        tensors = {}
        for name in variables:
            if name.endswith(_AVERAGE) or _ONLY_IN_TRAINING.search(name):
                continue
            averaged = name + _AVERAGE
            tensors[name] = reader.get_tensor(averaged if averaged in variables else name)
        return tensors
    except (tf.errors.OpError, RuntimeError, IndexError, ValueError) as error:
        raise ValueError(
            f"The checkpoint {str(prefix)!r} cannot be read: {_first_line(error)} It may have been "
            "cut short: unpack it again, and keep its files together."
        ) from error


def _prefix(file: pathlib.Path) -> pathlib.Path:
    if file.is_dir():
        found = sorted(file.glob("*.index"))
        if len(found) != 1:
            raise FileNotFoundError(
                f"{str(file)!r} holds {len(found)} checkpoints (.index files). Name one of them."
            )
        file = found[0]
    prefix = file.with_suffix("") if file.suffix == ".index" else file
    if not prefix.with_name(prefix.name + ".index").is_file():
        raise FileNotFoundError(
            f"There is no checkpoint {str(prefix)!r}: {prefix.name}.index is missing."
        )
    return prefix


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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
    axes={"conv": (0, 1, 2, 3), "depthwise": (0, 1, 3, 2), "linear": (0, 1)},
    edges={"mobile": "same", "large": "same"},
    preprocessing={
        "mobile": Preprocessing.imagenet((224, 224)),
        "large": Preprocessing.imagenet((331, 331)),
    },
)
