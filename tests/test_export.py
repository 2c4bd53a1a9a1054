from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax.export
import numpy as np
import pytest

import nasnet_jax


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nasnet_jax.export", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_writes_an_artefact_that_predicts(tmp_path: Path, model_folder: Path) -> None:
    file = tmp_path / "new" / "network.stablehlo"
    done = command(f"--checkpoint={model_folder}", f"--output={file}")
    assert done.returncode == 0, done.stderr
    assert f"{file}.json" in done.stdout
    assert {path.name for path in file.parent.iterdir()} == {file.name, f"{file.name}.json"}
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    logits = jax.export.deserialize(bytearray(file.read_bytes())).call(images)
    expected = nasnet_jax.load(model_folder).predict(images).logits
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


def test_a_searchs_workdir_ends_in_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "best_architecture.json").write_text("{}")
    done = command(f"--checkpoint={tmp_path}", f"--output={tmp_path / 'network.stablehlo'}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "workdir of a search" in line
    assert [path.name for path in tmp_path.iterdir()] == ["best_architecture.json"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--image_size=large"], "--image_size is as 224 or 224x320"),
        (["--format=pytorch", "--image_size=9"], "images of any size"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_loaded(
    arguments: list[str], line: str, tmp_path: Path
) -> None:
    done = command("--checkpoint=nowhere", f"--output={tmp_path / 'network'}", *arguments)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert line in done.stderr
    assert not list(tmp_path.iterdir())
