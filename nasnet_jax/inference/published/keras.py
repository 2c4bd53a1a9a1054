"""Keras' NASNetMobile and NASNetLarge (`keras.applications.nasnet`).

Read are the HDF5 files that are published (`NASNet-mobile.h5`, `NASNet-large-no-top.h5`, ...), whole
models saved as `.h5`, and `.weights.h5`. A published file has not been seen by this project: names and
layouts are those of files that Keras 3.15 writes.
"""

from __future__ import annotations

import pathlib

import h5py
import numpy as np

from nasnet_jax.inference.preprocessing import Preprocessing
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


def read(file: pathlib.Path) -> Tensors:
    """Reads a Keras HDF5 file.

    Returns:
        Tensors by `layer/array`, such as `stem_conv1/kernel`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds something else.
    """
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {str(file)!r}.")
    try:
        with h5py.File(file) as content:
            if "layers" in content:
                return _numbered(content["layers"])
            return _named(content.get("model_weights", content))
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{str(file)!r} cannot be read as Keras' HDF5: {error}. It may have been cut short: get "
            "it again."
        ) from error


def _named(group: h5py.Group) -> Tensors:
    """The form of Keras 1 and 2, and of whole models: `layer/.../layer/kernel:0`."""
    tensors = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            layer, *_, array = name.split("/")
            tensors[f"{layer}/{array.removesuffix(':0')}"] = item[()]

    group.visititems(visit)
    return tensors


def _numbered(group: h5py.Group) -> Tensors:
    """The form of Keras 3: `layers/conv2d_7/vars/0`, with the layer's name as an attribute."""
    tensors = {}
    for key, layer in group.items():
        variables = layer.get("vars", {})
        if not len(variables):
            continue
        if "name" not in variables.attrs:
            raise ValueError(
                f"The layer {key!r} of this .weights.h5 has no name. Versions of Keras that leave it "
                "out cannot be read: load the file there, and write it with Keras 3.15 or as a whole "
                "model (model.save('FILE.h5'))."
            )
        arrays = [np.asarray(variables[str(number)]) for number in range(len(variables))]
        kind = tuple(array.ndim for array in arrays)
        names = _NUMBERED_ARRAYS.get(kind, tuple(map(str, range(len(arrays)))))
        for name, array in zip(names, arrays, strict=True):
            tensors[f"{variables.attrs['name']}/{name}"] = array
    return tensors


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
    axes={"conv": (0, 1, 2, 3), "depthwise": (0, 1, 3, 2), "linear": (0, 1)},
    edges={"mobile": "keras", "large": "keras"},
    # Keras names no preparation but the scaling; this is how the weights' authors measured them.
    preprocessing={
        "mobile": Preprocessing.imagenet((224, 224)),
        "large": Preprocessing.imagenet((331, 331)),
    },
)
