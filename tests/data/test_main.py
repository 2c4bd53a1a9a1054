from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from nasnet_jax.data.builtin import load_digits


def write(tmp_path: Path, *options: str) -> list[Path]:
    command = [sys.executable, "-m", "nasnet_jax.data", f"--output={tmp_path / 'out'}", *options]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    return sorted((tmp_path / "out").iterdir())


def test_files_are_the_test_images(tmp_path: Path) -> None:
    digits = load_digits()
    files = write(tmp_path, "--name=digits", "--count=3")
    assert [file.name for file in files] == [
        f"{number}_{label}.png" for number, label in enumerate(digits.test_labels[:3])
    ]
    for file, image in zip(files, digits.test_images, strict=False):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), image[..., 0])


def test_images_of_a_folder_may_differ_in_size(tmp_path: Path) -> None:
    for place, name in enumerate(("train/cat", "train/dog", "test/cat", "test/dog")):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (9 + place, 5)).save(tmp_path / "images" / name / "1.png")
    files = write(tmp_path, f"--name=folder:{tmp_path / 'images'}")
    assert [np.asarray(Image.open(file)).shape for file in files] == [(5, 11, 3), (5, 12, 3)]
