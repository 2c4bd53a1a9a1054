"""A search's workdir holds its winner as a model, which loads like any other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import pytest

import nasnet_jax
from nasnet_jax.data import load_arrays
from nasnet_jax.inference.saved_model import read_model
from nasnet_jax.search.child_result import ChildResult, PausedChild, Span, TrainedChild
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.search.loop import run
from nasnet_jax.search.winner import batch_statistics
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


def test_a_search_in_which_every_child_diverged_has_no_model(
    tiny_config: ml_collections.ConfigDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(
        trainer: ChildTrainer, architectures: Sequence[Architecture], span: Span, **arguments: Any
    ) -> tuple[list[ChildResult], dict[int, PausedChild]]:
        shapes = trainer.supernet.shapes
        weights = jax.tree.map(lambda leaf: np.full(leaf.shape, np.nan, leaf.dtype), shapes)
        trainer.best = TrainedChild(architectures[0].canonical(), 0.0, weights)
        return [ChildResult(0.0, 0.0, True, 1.0, span.end, 0.0)] * len(architectures), {}

    monkeypatch.setattr(ChildTrainer, "compile", lambda trainer: None)
    monkeypatch.setattr(ChildTrainer, "train_span", diverge)
    workdir = tmp_path / "run"
    with pytest.raises(FloatingPointError, match="9 of 9 children diverged.*history.csv.*Lower"):
        run(tiny_config, workdir)
    assert json.loads((workdir / "summary.json").read_text(encoding="utf-8"))["finished"]
    assert (workdir / "report.html").exists() and not (workdir / "model").exists()


def test_statistics_of_a_network_with_infinite_logits_are_refused(finished: Path) -> None:
    description, parameters, _ = read_model(finished)
    parameters["head"]["linear"]["bias"][...] += np.inf
    with pytest.raises(FloatingPointError, match="best child diverged"):
        batch_statistics(
            description.architecture,
            description.macro,
            parameters,
            np.zeros((2, 8, 8, 1), np.float32),
            layers=description.layer_config(),
            batch_size=2,
        )


@pytest.mark.timeout(300)
def test_command_evaluates_it(finished: Path) -> None:
    command = [sys.executable, "-m", "nasnet_jax.evaluate", f"--checkpoint={finished}", "--json"]
    done = subprocess.run(
        [*command, "--dataset=digits"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["count"] == 360 and result["top1"] > 0.25
