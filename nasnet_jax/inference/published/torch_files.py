"""Files of PyTorch's tensors, read without running anything that stands in them.

`.safetensors` are plain arrays, and PyTorch reads the others with `weights_only=True`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import pathlib
import pickle
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from nasnet_jax.inference.published.source import Tensors

_SHARD = re.compile(r"-\d{5}-of-(\d{5})(?=\.)")


def read(file: pathlib.Path) -> Tensors:
    """Reads tensors: `.safetensors`, or any other ending in PyTorch's own format.

    Dictionaries in dictionaries, such as the `state_dict` of a training's checkpoint, become longer
    names. Of a file in several parts (`model-00001-of-00003.safetensors`), all are read, whichever
    is named; also by their list (`model.safetensors.index.json`).

    Raises:
        FileNotFoundError: If there is no such file, or not all of its parts.
        ValueError: If it is damaged, holds no tensors, or needs PyTorch and there is none.
    """
    tensors: Tensors = {}
    for part in _parts(file):
        if not part.is_file():
            raise FileNotFoundError(f"There is no file {str(part)!r}.")
        tensors |= (_read_safetensors if part.suffix == ".safetensors" else _read_pickled)(part)
    if not tensors:
        raise ValueError(f"{str(file)!r} holds no tensors. Save the network's state_dict() in it.")
    return tensors


def _parts(file: pathlib.Path) -> list[pathlib.Path]:
    if file.name.endswith(".index.json") and file.is_file():
        try:
            weights = json.loads(file.read_text())["weight_map"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{str(file)!r} is not the list of a file's parts: it has no weight_map."
            ) from error
        return [file.with_name(name) for name in sorted(set(weights.values()))]
    numbered = _SHARD.search(file.name)
    if numbered is None:
        return [file]
    return [
        file.with_name(_SHARD.sub(f"-{part:05}-of-{numbered[1]}", file.name))
        for part in range(1, int(numbered[1]) + 1)
    ]


def _read_safetensors(file: pathlib.Path) -> Tensors:
    try:
        return safetensors.numpy.load_file(file)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(
            f"{str(file)!r} cannot be read as safetensors: {error}. It may have been cut short: get "
            "it again."
        ) from error
    # What safetensors raises for a type that it knows and NumPy does not.
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(file)!r} holds numbers of a type that cannot be read ({error}). Save the weights as "
            "float32, float16 or bfloat16."
        ) from error


def _read_pickled(file: pathlib.Path) -> Tensors:
    if importlib.util.find_spec("torch") is None:
        raise ValueError(
            f"Reading {str(file)!r} needs PyTorch (pip install torch). Or convert it where PyTorch "
            "is, with safetensors.torch.save_file, and give the .safetensors."
        )
    import torch

    try:
        with warnings.catch_warnings(), _plain_data_allowed(torch.serialization):
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
    return {
        name: _as_array(tensor)
        for name, tensor in flattened(content)
        if isinstance(tensor, torch.Tensor)
    }


def _plain_data_allowed(serialization: Any) -> contextlib.AbstractContextManager[Any]:
    """Arguments of a training script, which stand in many checkpoints, may be read too."""
    # Since PyTorch 2.5.
    if not hasattr(serialization, "safe_globals"):
        return contextlib.nullcontext()
    return serialization.safe_globals([argparse.Namespace])


def flattened(content: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of dictionaries and lists in each other, with names joined by dots."""
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        yield above, content
        return
    for name, value in content.items():
        yield from flattened(value, f"{above}.{name}" if above else str(name))


def _as_array(tensor: Any) -> np.ndarray:
    """A tensor as NumPy has it, which knows no bfloat16."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
