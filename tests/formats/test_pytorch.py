"""What can be said of the network for PyTorch without PyTorch; `test_runtimes.py` runs it."""

from __future__ import annotations

import ast
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

import nasnet_jax
from nasnet_jax.formats import load_for, write_export
from nasnet_jax.formats.hub import model_card
from nasnet_jax.formats.pytorch import NETWORK, pytorch_files, state_dict
from nasnet_jax.inference import Model, ModelDescription
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import NASNET_A, Macro, cost


def test_the_file_is_short_and_stands_alone() -> None:
    text = NETWORK.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 250
    imports = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [node.names[0].name]
        )
    }
    assert imports <= {
        "__future__",
        "collections",
        "json",
        "pathlib",
        "re",
        "typing",
        "safetensors",
        "torch",
    }


def test_every_weight_is_there_once(random_network: Callable[[ModelDescription], NASNet]) -> None:
    macro = Macro(num_cells=1, num_filters=16, num_classes=3, image_size=32, stem="imagenet")
    preprocessing = nasnet_jax.inference.Preprocessing.imagenet((32, 32))
    description = ModelDescription(
        architecture=NASNET_A, macro=macro, preprocessing=preprocessing, layers={}
    )
    network = random_network(description)
    arrays = state_dict(Model(description, network))
    counted = cost(NASNET_A, macro)
    trained = ("weight", "bias")
    assert sum(a.size for n, a in arrays.items() if n.endswith(trained)) == counted.params
    running = ("running_mean", "running_var")
    assert sum(a.size for n, a in arrays.items() if n.endswith(running)) == counted.statistics
    depthwise = network.cells[0].blocks[0].left.first.depthwise.kernel[...]
    assert depthwise.shape[2] == 1
    np.testing.assert_array_equal(
        arrays["cells.0.blocks.0.left.first.depthwise.weight"],
        np.asarray(depthwise).transpose(3, 2, 0, 1),
    )


def test_files_hold_what_the_model_says(model_folder: Path, tmp_path: Path) -> None:
    model = load_for("pytorch", model_folder)
    write_export(model, tmp_path, "pytorch")
    config = json.loads((tmp_path / "config.json").read_text())
    # Where the run was, is nobody's business.
    assert "config" not in config
    assert config["layers"] == {"norm_epsilon": 1e-3, "edges": "same"}
    weights = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert weights.keys() == state_dict(model).keys()
    kernel = np.asarray(model.network.head.linear.kernel[...])
    np.testing.assert_array_equal(weights["head.weight"], kernel.T)


def test_folded_networks_are_refused(model_folder: Path) -> None:
    with pytest.raises(ValueError, match="without fold"):
        pytorch_files(nasnet_jax.load(model_folder, fold=True))


def test_the_card_says_what_is_known(description: ModelDescription, network: NASNet) -> None:
    config = {
        "dataset": {"name": "folder:/home/ada/ants"},
        "results": {"test_accuracy": 0.98333},
    }
    card = model_card(dataclasses.replace(description, config=config))
    params = sum(leaf.size for leaf in nnx.to_flat_state(nnx.state(network, nnx.Param)).leaves)
    for part in (f"| parameters | {params:,} |", "| test accuracy | 0.9833 |", "cells.svg"):
        assert part in card
    assert "license" in card and "ada" not in card
    assert "imported" not in card and "published" not in card
