from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.data.fingerprint import difference, fingerprint
from nasnet_jax.data.source import ArraySource
from nasnet_jax.data.sources import load_arrays, open_sources


def of(name: str, **options: Any) -> dict[str, Any]:
    """As it is after it was written and read."""
    return json.loads(json.dumps(fingerprint(*open_sources(name, **options))))


def test_it_is_the_same_wherever_the_folder_lies(
    png_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shutil.copytree(png_folder, tmp_path / "mounted" / "elsewhere")
    here = of(f"folder:{png_folder}")
    assert difference(here, of(f"folder:{other}")) == ""
    monkeypatch.chdir(other)
    assert difference(here, of("folder:.")) == ""
    assert load_arrays("folder:.", image_size=8).fingerprint == here


def grow(root: Path) -> None:
    shutil.copytree(root / "cat", root / "ant")


def add(root: Path) -> None:
    for number in range(5):
        shutil.copy(root / "cat" / "0.png", root / "cat" / f"new{number}.png")


def replace(root: Path) -> None:
    for path in (root / "dog").iterdir():
        path.write_bytes(path.read_bytes() + b"\0")


def rename(root: Path) -> None:
    os.rename(root / "dog", root / "bee")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (grow, "new classes: ant; there were 13 training images, now 21"),
        (add, "there were 13 training images, now 17"),
        (replace, "the files of the training images have other names or sizes"),
        (rename, "new classes: bee; classes gone: dog"),
    ],
)
def test_what_changed_in_a_folder_is_told(
    png_folder: Path, tmp_path: Path, change: Callable[[Path], None], told: str
) -> None:
    root = shutil.copytree(png_folder, tmp_path / "images")
    before = of(f"folder:{root}")
    change(root)
    assert told in difference(before, of(f"folder:{root}"))


@pytest.mark.parametrize("name", ["tfrecords", "arrayrecords"])
def test_of_tfds_it_is_what_tfds_noted(tfds_dir: Path, tmp_path: Path, name: str) -> None:
    here = of(name, data_dir=tfds_dir)
    assert here["train"]["dataset"] == f"{name}/1.0.0" and here["train"]["images"] == 23
    moved = shutil.copytree(tfds_dir, tmp_path / "moved")
    assert difference(here, of(name, data_dir=moved)) == ""
    other = difference(here, of(name, data_dir=tfds_dir, test_split="train[13:]"))
    assert other == "there were 23 training images, now 13; there were 7 test images, now 10"


def arrays(seed: int, size: int = 4, names: tuple[str, ...] = ("a", "b")) -> ArraySource:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (20, size, size, 1), np.uint8)
    return ArraySource("mine", images, rng.integers(0, 2, 20, np.int32), names)


@given(st.integers(0, 19), st.integers(0, 3), st.booleans())
def test_any_pixel_and_any_label_counts(row: int, place: int, is_label: bool) -> None:
    source, changed = arrays(0), arrays(0)
    if is_label:
        changed.labels[row] = 1 - changed.labels[row]
    else:
        changed.images[row, place, place] ^= 1
    told = difference(fingerprint(source, source), fingerprint(source, changed))
    assert told == "the test images or their labels are others"


def test_a_view_is_what_it_shows() -> None:
    source = arrays(0)
    view = ArraySource("mine", source.images[::2], source.labels[::2], source.class_names)
    copy = ArraySource("mine", view.images.copy(), view.labels.copy(), source.class_names)
    assert fingerprint(view, source) == fingerprint(copy, source)


def test_shapes_and_the_order_of_classes_count() -> None:
    one = arrays(0)
    before, larger = fingerprint(one, one), arrays(0, size=5)
    assert "the shape of the test images was [4, 4, 1], now [5, 5, 1]" in difference(
        before, fingerprint(one, larger)
    )
    swapped = arrays(0, names=("b", "a"))
    assert difference(before, fingerprint(swapped, swapped)) == "the classes come in another order"
