from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nasnet_jax
from nasnet_jax.inference import open_image


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nasnet_jax.predict", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "one.png", tmp_path / "two.jpg"]
    for path, size in zip(paths, ((8, 8), (30, 17)), strict=True):
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(path)
    return paths


def test_the_command_prints_what_the_model_predicts(
    model_folder: Path, photographs: list[Path]
) -> None:
    done = command(f"--checkpoint={model_folder}", *photographs, "--json", "--top=2")
    assert done.returncode == 0, done.stderr
    best = nasnet_jax.load(model_folder).predict(map(open_image, photographs)).top(2)
    assert json.loads(done.stdout) == [
        {
            "image": str(path),
            "classes": [
                {"name": name, "probability": pytest.approx(share, abs=1e-5)}
                for name, share in classes
            ],
        }
        for path, classes in zip(photographs, best, strict=True)
    ]


def test_a_table_has_one_line_for_each_class(model_folder: Path, photographs: list[Path]) -> None:
    done = command(f"--checkpoint={model_folder}", *photographs, "--top=3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [lines[0], lines[4]] == [str(path) for path in photographs]
    shares = [float(line.split()[0].rstrip("%")) for line in lines[1:4]]
    assert shares == sorted(shares, reverse=True)
    assert {line.split()[1] for line in lines[1:4]} < {"ant", "bee", "cat", "dog"}


def test_a_file_that_is_no_image_ends_in_one_line(
    tmp_path: Path, model_folder: Path, photographs: list[Path]
) -> None:
    (tmp_path / "letter.txt").write_text("Dear network")
    done = command(f"--checkpoint={model_folder}", photographs[0], tmp_path / "letter.txt")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "letter.txt' is not an image" in line


def test_a_missing_checkpoint_ends_in_one_line(tmp_path: Path, photographs: list[Path]) -> None:
    done = command(f"--checkpoint={tmp_path / 'nowhere'}", photographs[0])
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "There is no folder" in line
    assert "nowhere" in line
