"""Imported networks compute what the peers' own do, on weights made up from names and shapes.

The golden files hold the peers' logits; `make parity` wrote them, and compares with the peers
themselves, and with Large.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from nasnet_jax.inference import read_model
from nasnet_jax.inference.description import ModelDescription
from nasnet_jax.inference.published import import_weights

GOLDENS = Path(__file__).parent / "goldens"
Tensors = dict[str, np.ndarray]


def write_keras(file: Path, tensors: Tensors) -> None:
    """As `save_weights` of Keras 2 wrote the published files: `layer/layer/array:0`."""
    with h5py.File(file, "w") as content:
        for name, tensor in tensors.items():
            layer, array = name.split("/")
            content[f"{layer}/{layer}/{array}:0"] = tensor


WRITERS = {
    "keras": (".h5", write_keras),
    "cadene": (".safetensors", lambda file, tensors: safetensors.numpy.save_file(tensors, file)),
}


def network(description: ModelDescription, *states: nnx.State) -> nnx.Module:
    graph, *_ = nnx.split(description.abstract_network(), nnx.Param, nnx.BatchStat)
    return nnx.merge(graph, *states)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("source", WRITERS)
def test_imported_mobile_gives_the_logits_of_the_peer(
    source: str,
    mobile: Callable[[str, int], Tensors],
    made_up: ModuleType,
    tmp_path: Path,
) -> None:
    ending, write = WRITERS[source]
    file = tmp_path / f"weights{ending}"
    write(file, mobile(source, 1000))
    import_weights(source, file, tmp_path / "model")
    description, *states = read_model(tmp_path / "model")
    imported = network(description, *states)
    goldens = np.load(GOLDENS / f"{source}_mobile.npz")
    assert set(goldens) == {str(size) for size in made_up.SIZES["mobile"]}
    for size in made_up.SIZES["mobile"]:
        assert difference(imported(made_up.images(size)), goldens[str(size)]) < 1e-4

    # These peers treat borders otherwise than slim at the larger size; without it, this test would
    # say nothing of them.
    plain = dataclasses.replace(description, layers={**description.layers, "edges": "same"})
    assert difference(network(plain, *states)(made_up.images(size)), goldens[str(size)]) > 1e-3
