from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from nasnet_jax.data.builtin import load_digits


def test_files_are_the_test_images(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nasnet_jax.data", "--name=digits", f"--output={tmp_path}"]
    subprocess.run([*command, "--count=3"], check=True, timeout=120, capture_output=True)
    digits = load_digits()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [
        f"{number}_{label}.png" for number, label in enumerate(digits.test_labels[:3])
    ]
    for file, image in zip(files, digits.test_images, strict=False):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), image[..., 0])
