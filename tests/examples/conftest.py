"""A folder of images that needs no download."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digit_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """537 digits as PNG files, a fifth of them to test on, in a folder for each of three classes."""
    folder = tmp_path_factory.mktemp("images")
    digits = load_digits(n_class=3)
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        split = "train" if number % 5 else "test"
        target = folder / split / ("zero", "one", "two")[label] / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15.9).astype("uint8")).save(target)
    return folder
