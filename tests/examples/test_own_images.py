"""The example as a user starts it, at a small size, and what it found behind a server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from http_clients import ask, serving

import nasnet_jax
from nasnet_jax.serving import make_app

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def start(images: Path, workdir: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            str(EXAMPLES / "own_images.py"),
            f"--images={images}",
            f"--workdir={workdir}",
            "--size=8",
            "--blocks=2",
            "--cells=1",
            "--filters=4",
            # Without them the search has a third of the branches to compile.
            "--reductions=0",
            "--children=4",
            "--child_epochs=2",
            "--epochs=6",
            "--batch_size=32",
            "--validation=100",
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def finished(digit_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("own")
    done = start(digit_images, workdir)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "normal cell" in done.stdout
    return workdir


def test_it_finds_and_trains_something_that_tells_digits_apart(finished: Path) -> None:
    assert (finished / "search" / "best_architecture.json").is_file()
    summary = json.loads((finished / "train" / "summary.json").read_text(encoding="utf-8"))
    assert summary["test_accuracy"] > 0.6  # Three classes.


def test_what_would_stop_the_training_is_told_before_the_search(
    digit_images: Path, tmp_path: Path
) -> None:
    done = start(digit_images, tmp_path / "own", "--batch_size=50")
    assert done.returncode == 1 and not (tmp_path / "own").exists()
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: batch_norm.group_size (32) must be 0 or divide")


def test_it_can_be_served(finished: Path, digit_images: Path) -> None:
    image = next((digit_images / "test" / "zero").glob("*.png")).read_bytes()
    with serving(make_app(nasnet_jax.load(finished / "train"), batch_size=1)) as port:
        status, answer = ask(port, "/predict", image)
    assert status == 200
    shares = {c["name"]: c["probability"] for c in answer["predictions"][0]["classes"]}
    assert set(shares) == {"zero", "one", "two"}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
