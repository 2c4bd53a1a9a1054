"""Keras' NASNetMobile and NASNetLarge (`keras.applications.nasnet`).

Read are the HDF5 files that are published (`NASNet-mobile.h5`, `NASNet-large-no-top.h5`, ...), whole
models saved as `.h5` or `.keras`, `.weights.h5`, and weights in TensorFlow's checkpoint format. A
published file has not been seen by this project: names and layouts are those of files that Keras 3.15
writes, and of the source code of older versions.
"""

from __future__ import annotations

import io
import json
import pathlib
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np

from nasnet_jax.inference.preprocessing import Preprocessing
from nasnet_jax.inference.published import hdf5, tf_checkpoint
from nasnet_jax.inference.published.networks import Layer, LayerKind, Path
from nasnet_jax.inference.published.source import Source, Tensors

_ARRAYS: dict[LayerKind, dict[str, str]] = {
    "conv": {"kernel": "kernel"},
    "depthwise": {"kernel": "depthwise_kernel"},
    "linear": {"kernel": "kernel", "bias": "bias"},
    "norm": {
        "scale": "gamma",
        "offset": "beta",
        "mean": "moving_mean",
        "variance": "moving_variance",
    },
}
_OUTSIDE_CELLS: dict[Path, str] = {
    ("stem", "conv"): "stem_conv1",
    ("stem", "norm"): "stem_bn1",
    ("head", "linear"): "predictions",
}
_NUMBERED_ARRAYS: dict[tuple[int, ...], tuple[str, ...]] = {
    (4,): ("kernel",),
    (4, 4): ("depthwise_kernel", "pointwise_kernel"),
    (2, 1): ("kernel", "bias"),
    (1, 1, 1, 1): ("gamma", "beta", "moving_mean", "moving_variance"),
}
"""Names of a layer's arrays, which `.weights.h5` numbers, by their numbers of axes."""
_OLD_LAYERS = "_layer_checkpoint_dependencies"
"""What Keras 2.12 called the layers of a network."""
_OPTIMIZER = "optimizer"
_OLD_RIGHT = re.compile(r"^(separable_conv_[12](?:_bn)?)_reduction_1_")
"""What the first layers of a reduction cell's first block are called in versions of 2017 and 2018."""
_COUNTED = re.compile(r"_\d+$")
"""What Keras and TensorFlow put behind a name that there is already."""


def read(file: pathlib.Path) -> Tensors:
    """Reads a file of Keras, or a checkpoint of TensorFlow that Keras wrote.

    Returns:
        Tensors by names that end in `layer/array`, such as `stem_conv1/kernel`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds something else.
    """
    if file.suffix == ".keras":
        return _zipped(file)
    if file.suffix in hdf5.ENDINGS or (file.is_file() and file.suffix != tf_checkpoint.ENDING):
        return hdf5.read(file, _content)
    return tf_checkpoint.read(tf_checkpoint.find(file))


def _content(group: h5py.Group) -> Tensors:
    if "layers" in group or _OLD_LAYERS in group:
        return dict(_numbered(group, {}))
    # The form of Keras 1 and 2, and of whole models: `layer/.../layer/kernel:0`.
    return hdf5.arrays(group.get("model_weights", group))


def _zipped(file: pathlib.Path) -> Tensors:
    """The form of whole models in Keras 3: weights in numbered layers, and a list of the layers."""
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {str(file)!r}.")
    try:
        with zipfile.ZipFile(file) as archive:
            layers = dict(_listed(json.loads(archive.read("config.json"))))
            weights = io.BytesIO(archive.read("model.weights.h5"))
    except (OSError, KeyError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise ValueError(
            f"{str(file)!r} cannot be read as Keras' model: {error}. It may have been cut short: get "
            "it again."
        ) from error
    return hdf5.read(file, lambda group: dict(_numbered(group, layers)), opened=weights)


def _listed(model: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """From the places of layers in a file of weights to their names, by the model's configuration."""
    used: dict[str, int] = {}
    for layer in model["config"].get("layers", ()):
        kind = _snake_case(layer["class_name"])
        used[kind] = used.get(kind, -1) + 1
        place = f"{above}layers/{kind}" + (f"_{used[kind]}" if used[kind] else "")
        yield place, layer["config"]["name"]
        yield from _listed(layer, f"{place}/")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", name).lower()


def _numbered(group: h5py.Group, names: Mapping[str, str]) -> Iterator[tuple[str, np.ndarray]]:
    """The form of Keras 3: `layers/conv2d_7/vars/0`, with the layer's name as an attribute.

    Args:
        group: Of a network, which may hold others.
        names: Of layers by their places, where the file has none.

    Yields:
        Tensors with their names, `place of the layer/name/array`.
    """
    groups: list[h5py.Group] = []
    group.visititems(lambda path, item: groups.append(item) if path.endswith("/vars") else None)
    for variables in groups:
        place = variables.parent.name.removeprefix("/").replace(_OLD_LAYERS, "layers")
        if _OPTIMIZER in place.split("/") or not len(variables):
            continue
        name = variables.attrs.get("name", names.get(place))
        if name is None:
            raise ValueError(
                f"The layer {place!r} of this .weights.h5 has no name. Versions of Keras that leave "
                "it out cannot be read: load the file there, and write the whole model "
                "(model.save('FILE.keras') or '.h5')."
            )
        arrays = [hdf5.array(variables[str(number)]) for number in range(len(variables))]
        kind = tuple(array.ndim for array in arrays)
        titles = _NUMBERED_ARRAYS.get(kind, tuple(map(str, range(len(arrays)))))
        for title, array in zip(titles, arrays, strict=True):
            yield f"{place}/{name}/{title}", array


def spellings(name: str) -> Iterator[str]:
    """The names of today that `layer/array` may stand for."""
    layer, _, array = name.partition("/")
    for old in (layer, _COUNTED.sub("", layer)):
        yield _OLD_RIGHT.sub(r"\1_reduction_right1_", old) + f"/{array}"


def names(layer: Layer) -> dict[str, str]:
    """Keras' names of a layer's arrays."""
    arrays = _ARRAYS[layer.kind]
    if layer.part[0] == "blocks" and layer.part[-1] == "pointwise":
        arrays = {"kernel": "pointwise_kernel"}
    return {ours: f"{_layer_name(layer)}/{theirs}" for ours, theirs in arrays.items()}


def _layer_name(layer: Layer) -> str:
    if layer.cell is None:
        return _OUTSIDE_CELLS[layer.part]
    kind, cell = layer.cell.kind, _cell_name(layer)
    match layer.part:
        case ("input_0", "conv"):
            return f"{kind}_conv_1_{cell}"
        case ("input_0", "norm"):
            return f"{kind}_bn_1_{cell}"
        case ("input_1", "conv"):
            return f"adjust_conv_projection_{cell}"
        case ("input_1", "path_1" | "path_2" as path):
            return f"adjust_conv_{path[-1]}_{cell}"
        case ("input_1", "norm"):
            return f"adjust_bn_{cell}"
        case ("blocks", int(block), side, *_):
            # Keras calls the separable convolution of the reduction cell's fifth block "left4".
            number = 4 if (kind, block) == ("reduction", 4) else block + 1
            norm = "_bn" if layer.kind == "norm" else ""
            return f"separable_conv_{layer.turn}{norm}_{kind}_{side}{number}_{cell}"
    raise KeyError(layer.path)


def _cell_name(layer: Layer) -> str:
    """The end of the names of a cell's layers, which count the first reduction cell in, and no other."""
    assert layer.cell is not None
    group, _, number = layer.cell.name.rpartition("_")
    if group == "cell_stem":
        return f"stem_{int(number) + 1}"
    if group == "reduction_cell":
        return f"reduce_{(int(number) + 1) * layer.macro.num_cells}"
    return str(int(number) + (int(number) >= layer.macro.num_cells))


KERAS = Source(
    title="Keras",
    read=read,
    names=names,
    separator="/",
    spellings=spellings,
    axes={"conv": (0, 1, 2, 3), "depthwise": (0, 1, 3, 2), "linear": (0, 1)},
    edges={"mobile": "keras", "large": "keras"},
    # Keras names no preparation but the scaling; this is how the weights' authors measured them.
    preprocessing={
        "mobile": Preprocessing.imagenet((224, 224)),
        "large": Preprocessing.imagenet((331, 331)),
    },
)
