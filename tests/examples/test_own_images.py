"""The example as a user starts it, at a small size, and its server."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

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


def test_its_server_answers(finished: Path, digit_images: Path) -> None:
    spec = importlib.util.spec_from_file_location("own_images", EXAMPLES / "own_images.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    server = example.make_server(finished / "train", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    image = next((digit_images / "test" / "zero").glob("*.png")).read_bytes()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    with urllib.request.urlopen(urllib.request.Request(address, data=image), timeout=60) as reply:
        answer = json.load(reply)
    server.shutdown()
    server.server_close()
    assert set(answer) == {"zero", "one", "two"}
    assert sum(answer.values()) == pytest.approx(1, abs=1e-3)
