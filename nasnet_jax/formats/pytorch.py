"""A trained network for PyTorch: a file that builds it, and its weights."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
from flax import nnx
from flax.traverse_util import flatten_dict

from nasnet_jax.inference.description import ModelDescription
from nasnet_jax.inference.folding import Offset
from nasnet_jax.inference.model import Model

NETWORK = pathlib.Path(__file__).with_name("pytorch_network.py")
"""Written out as `nasnet.py`; nothing of this package is imported in it."""

_NORM = {
    "scale": "weight",
    "offset": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}
_ONLY_OURS = {"linear", "project"}
"""Parts of our paths that the names in PyTorch do without."""
_AXES = {4: (3, 2, 0, 1), 2: (1, 0)}
"""By dimensions of a kernel: PyTorch's are `[out, in, height, width]` and `[out, in]`."""


def pytorch_files(model: Model) -> dict[str, bytes]:
    """What a folder holds for PyTorch, by the files' names.

    Returns:
        `nasnet.py`, whose `load(folder)` makes the network, `config.json` and `model.safetensors`.

    Raises:
        ValueError: If batch normalization is folded, with which nothing can be trained.
    """
    from safetensors.numpy import save

    return {
        "nasnet.py": NETWORK.read_bytes(),
        "config.json": (json.dumps(config(model.description), indent=2) + "\n").encode(),
        "model.safetensors": save(state_dict(model), metadata={"format": "pt"}),
    }


def config(description: ModelDescription) -> dict[str, Any]:
    """What `nasnet.NASNet` takes: the model's description, without the run that it comes from."""
    layers = description.layer_config()
    data = json.loads(description.to_json())
    data["layers"] = {"norm_epsilon": layers.norm_epsilon, "edges": layers.edges}
    return {
        name: data[name]
        for name in ("architecture", "macro", "preprocessing", "class_names", "layers")
    }


def state_dict(model: Model) -> dict[str, np.ndarray]:
    """The weights as PyTorch names and lays them out.

    Raises:
        ValueError: As for `pytorch_files`.
    """
    if any(isinstance(module, Offset) for _, module in nnx.iter_modules(model.network)):
        raise ValueError("This network's batch normalization is folded: load it without fold=True.")
    state = nnx.state(model.network, nnx.Any(nnx.Param, nnx.BatchStat))
    arrays = {}
    for path, value in flatten_dict(nnx.to_pure_dict(state)).items():
        *module, leaf = (str(part) for part in path if part not in _ONLY_OURS)
        prefix, array = ".".join(module), np.asarray(value)
        if leaf == "kernel":
            arrays[f"{prefix}.weight"] = np.ascontiguousarray(array.transpose(_AXES[array.ndim]))
        elif leaf in _NORM:
            arrays[f"{prefix}.{_NORM[leaf]}"] = array
            arrays[f"{prefix}.num_batches_tracked"] = np.zeros((), np.int64)
        else:
            arrays[f"{prefix}.{leaf}"] = array
    return arrays
