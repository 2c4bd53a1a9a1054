"""A search's workdir holds its winner as a model, which loads like any other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import ml_collections
import numpy as np
import pytest

import nasnet_jax
from nasnet_jax.data import load_arrays
from nasnet_jax.inference.saved_model import read_model
from nasnet_jax.search.loop import run
from nasnet_jax.space import Architecture


def test_the_winner_answers_as_it_did_in_the_search(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    model = nasnet_jax.load(finished)
    digits = load_arrays("digits")
    assert model.description.architecture == Architecture.load(finished / "best_architecture.json")
    assert model.class_names == digits.class_names
    accuracy = np.mean(model.predict(digits.test_images).indices == digits.test_labels)
    # Other images, and statistics of other batches; chance is 0.1.
    assert accuracy > 0.25
    assert accuracy == pytest.approx(summary["best_architecture_rerank_reward"], abs=0.12)


def test_resumed_search_saves_the_same_weights(
    finished: Path, tiny_config: ml_collections.ConfigDict, tmp_path: Path
) -> None:
    """As if it had been stopped after the re-ranking and before its model was written."""
    workdir = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(workdir / "model")
    with pytest.raises(ValueError, match="workdir of a search that is under way"):
        nasnet_jax.load(workdir)
    run(tiny_config, workdir)
    saved, again = read_model(finished), read_model(workdir)
    assert saved[0] == again[0]
    jax.tree.map(np.testing.assert_array_equal, saved[1:], again[1:])


@pytest.mark.timeout(300)
def test_command_evaluates_it(finished: Path) -> None:
    command = [sys.executable, "-m", "nasnet_jax.evaluate", f"--checkpoint={finished}", "--json"]
    done = subprocess.run(
        [*command, "--dataset=digits"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["count"] == 360 and result["top1"] > 0.25
