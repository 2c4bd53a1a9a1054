from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.data import load_arrays
from nasnet_jax.inference import ModelDescription, Preprocessing, save_model
from nasnet_jax.space import Architecture, Macro
from nasnet_jax.train.measure import evaluate


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory, random_network):
    """An untrained model of digits with a pre-processing of its own: its folder and its network."""
    description = ModelDescription(
        architecture=Architecture.from_one_line(
            "normal: conv_1x1(0)+identity(1); reduction: max_pool_3x3(0)+conv_1x1(1)"
        ),
        macro=Macro(
            num_cells=1,
            num_filters=4,
            num_classes=10,
            image_size=8,
            num_reductions=1,
            image_channels=1,
        ),
        preprocessing=Preprocessing.standardized((8, 8), np.array([80.0]), np.array([100.0])),
    )
    network = random_network(description)
    folder = tmp_path_factory.mktemp("models") / "digits"
    save_model(
        folder, description, nnx.state(network, nnx.Param), nnx.state(network, nnx.BatchStat)
    )
    return folder, network


def test_all_images_count_once_with_the_preprocessing_of_the_model(digits_model):
    folder, network = digits_model
    digits = load_arrays("digits")
    logits = jax.jit(network)((digits.test_images - np.float32(80)) / np.float32(100))
    ranks = np.argsort(-np.asarray(logits), axis=1)
    hits = ranks == digits.test_labels[:, np.newaxis]
    # Batches that 360 is no multiple of.
    found = evaluate(folder, "digits", batch_size=100)
    assert found.count == 360
    assert found.top1 == pytest.approx(hits[:, 0].mean())
    assert found.top5 == pytest.approx(hits[:, :5].any(1).mean())
    assert found.top1 < found.top5


def test_the_command_prints_it(digits_model):
    folder, _ = digits_model
    command = [sys.executable, "-m", "nasnet_jax.evaluate", f"--checkpoint={folder}", "--json"]
    done = subprocess.run(
        [*command, "--dataset=digits"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    found = json.loads(done.stdout)
    assert found["count"] == 360 and 0 <= found["top1"] <= found["top5"] <= 1


def test_data_of_another_kind_is_refused(model_folder, digits_model, tmp_path):
    with pytest.raises(ValueError, match="has 4 classes, but digits .* has 10"):
        evaluate(model_folder, "digits")
    with pytest.raises(FileNotFoundError, match="no folder"):
        evaluate(tmp_path / "missing", "digits")
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        evaluate(digits_model[0], "digits", batch_size=0)
