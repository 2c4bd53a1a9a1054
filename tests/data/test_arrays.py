"""Own data as NumPy arrays in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasnet_jax.data.builtin import load_digits
from nasnet_jax.data.sources import load_arrays, open_sources


def save(path: Path, **replaced: Any) -> Path:
    digits = load_digits()
    arrays: dict[str, Any] = {
        "train_images": digits.train_images,
        "train_labels": digits.train_labels.astype(np.uint8),
        "test_images": digits.test_images,
        "test_labels": digits.test_labels.astype(np.int64),
    }
    arrays |= replaced
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_they_are_a_data_set_like_any_other(tmp_path: Path) -> None:
    digits, name = load_digits(), f"arrays:{save(tmp_path / 'digits.npz')}"
    loaded = load_arrays(name)
    assert loaded.name == name and loaded.class_names == digits.class_names
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(loaded, field), getattr(digits, field))
    assert loaded.train_labels.dtype == np.int32
    assert load_arrays(name, image_size=16).image_shape == (16, 16, 1)
    _, test = open_sources(name)
    np.testing.assert_array_equal(test.read(np.array([5]))[0], digits.test_images[[5]])


def test_grey_images_need_no_channel_and_classes_may_have_names(tmp_path: Path) -> None:
    digits = load_digits()
    path = save(
        tmp_path / "named.npz",
        train_images=digits.train_images[..., 0],
        test_images=digits.test_images[..., 0],
        class_names=np.array([f"digit {number}" for number in range(10)]),
    )
    loaded = load_arrays(f"arrays:{path}")
    assert loaded.image_shape == (8, 8, 1) and loaded.class_names[3] == "digit 3"


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"test_labels": None}, "lacks test_labels"),
        ({"train_labels": np.zeros(1437)}, "float64 and must be integers"),
        ({"train_labels": np.arange(3)}, "have the shape"),
        ({"test_images": np.zeros((360, 8, 8, 1))}, "must be uint8"),
        ({"class_names": np.array(["a", "b"])}, "labels from 0 to 9"),
        ({"class_names": np.array([{}], dtype=object)}, "no file of arrays"),
    ],
)
def test_what_does_not_fit_is_explained(
    tmp_path: Path, replaced: dict[str, Any], message: str
) -> None:
    path = save(tmp_path / "bad.npz", **replaced)
    with pytest.raises(ValueError, match=message):
        load_arrays(f"arrays:{path}")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file .*missing\.npz"):
        load_arrays(f"arrays:{tmp_path / 'missing.npz'}")
    text = tmp_path / "text.npz"
    text.write_text("not arrays")
    with pytest.raises(ValueError, match="no file of arrays"):
        load_arrays(f"arrays:{text}")
    single = tmp_path / "single.npy"
    np.save(single, np.zeros(3))
    with pytest.raises(ValueError, match="no file of arrays"):
        load_arrays(f"arrays:{single}")
