"""Own data as NumPy arrays in a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from nasnet_jax.data.arrays import open_arrays
from nasnet_jax.data.builtin import load_digits
from nasnet_jax.data.dataset import DifferentSizesError
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


def test_oblong_images_become_squares_where_a_size_is_asked_for(tmp_path: Path) -> None:
    wide = np.zeros((1437, 8, 16, 1), np.uint8)
    wide[:, :, 4:12] = load_digits().train_images
    path = save(tmp_path / "wide.npz", train_images=wide)
    # Other sizes in training and in test need one, and the middle is what is kept.
    with pytest.raises(DifferentSizesError):
        load_arrays(f"arrays:{path}")
    squares = load_arrays(f"arrays:{path}", image_size=8)
    np.testing.assert_array_equal(squares.train_images, load_digits().train_images)
    assert load_arrays(f"arrays:{path}", image_size=16).image_shape == (16, 16, 1)


def test_labels_that_skip_numbers_name_the_classes_that_occur(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    digits = load_digits()
    path = save(
        tmp_path / "odd.npz",
        train_labels=2 * digits.train_labels + 1,
        test_labels=2 * digits.test_labels + 1,
    )
    train, _ = open_arrays(path)
    assert train.class_names == tuple(map(str, range(1, 21, 2)))
    np.testing.assert_array_equal(train.labels, digits.train_labels)
    assert "have no labels but 1, 3, 5, 7, 9, 11, 13, 15, 17, 19" in caplog.messages[0]
    # With names they are the numbers of the names, as always.
    names = np.array([f"digit {number}" for number in range(21)])
    train, _ = open_arrays(
        save(tmp_path / "named.npz", train_labels=2 * digits.train_labels + 1, class_names=names)
    )
    assert train.class_names == tuple(names) and train.labels.max() == 19


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            {"test_labels": None},
            "lacks test_labels; .*, and has test_images, train_images, train_la",
        ),
        ({"train_labels": np.zeros(1437)}, "float64 and must be integers"),
        ({"train_labels": np.arange(3)}, "have the shape"),
        ({"train_labels": np.zeros((1437, 2), int)}, "have the shape"),
        ({"train_labels": np.array(["cat"] * 1437)}, "texts as labels.*np.unique"),
        ({"test_labels": np.full(360, 2**40)}, "labels from 1099511627776"),
        ({"train_labels": np.full(1437, -1)}, "are of 1 class"),
        ({"train_labels": np.arange(1437) % 9 * 2}, "label 1, which no training image has"),
        ({"test_images": np.zeros((360, 8, 8, 1))}, "must be uint8"),
        ({"test_images": np.full((360, 8, 8), 0.5)}, r"float64 from 0.5 to 0.5.*images \* 255"),
        ({"test_images": np.full((360, 8, 8), 9, np.int64)}, r"int64 .*: images.astype\('uint8'\)"),
        ({"test_images": np.full((360, 8, 8), 999, np.uint16)}, "bring them to 0 to 255"),
        ({"test_images": np.zeros((360, 8, 8), bool)}, "must be uint8 .* not bool"),
        ({"test_images": np.zeros((360, 64), np.uint8)}, r"must be uint8 .* not uint8 \[360, 64\]"),
        ({"test_images": np.zeros((360, 3, 8, 8), np.uint8)}, "channels seem to come first"),
        ({"test_images": np.zeros((360, 1, 8, 8), np.uint8)}, "channels seem to come first"),
        ({"test_images": np.zeros((360, 8, 8, 4), np.uint8)}, r"transparency.*images\[..., :-1\]"),
        ({"test_images": np.zeros((360, 8, 8, 9), np.uint8)}, "1 channel or 3"),
        ({"test_images": np.zeros((360, 8, 8, 3), np.uint8)}, "differ in their channels"),
        ({"test_images": np.zeros((0, 8, 8, 1), np.uint8)}, "none at all"),
        ({"class_names": np.array(["a", "b"])}, "labels from 0 to 9"),
        ({"class_names": np.array([*"abcdefghii"])}, "'i' more than once"),
        ({"class_names": np.array([b"\xff"] * 10)}, "not in UTF-8"),
        ({"class_names": np.array([{}], dtype=object)}, "no file of arrays .* Python objects"),
    ],
)
def test_what_does_not_fit_is_explained(
    tmp_path: Path, replaced: dict[str, Any], message: str
) -> None:
    path = save(tmp_path / "bad.npz", **replaced)
    with pytest.raises(ValueError, match=message):
        load_arrays(f"arrays:{path}")


def test_what_is_not_used_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_arrays(save(tmp_path / "more.npz", val_images=np.zeros(3), val_labels=np.zeros(3)))
    assert caplog.messages == [f"arrays:{tmp_path / 'more.npz'}: not used: val_images, val_labels."]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "compressed.npz"
    save(path)
    with np.load(path) as arrays:
        np.savez_compressed(path, **arrays)
    contents = bytearray(path.read_bytes())
    for cut in (10, len(contents) // 2, len(contents) - 10):
        path.write_bytes(contents[:cut])
        with pytest.raises(ValueError, match="no file of arrays"):
            open_arrays(path)
    contents[200:230] = bytes(30)
    path.write_bytes(contents)
    with pytest.raises(ValueError, match="no file of arrays"):
        open_arrays(path)


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


CLASSES = ["ant", "b\u00e9e", "cat", "dog", "emu"]


@st.composite
def data_sets(draw: st.DrawFn) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Draws arrays in one of the forms that are understood, and the class of each image by name."""
    shape = (
        draw(st.integers(1, 5)),
        draw(st.integers(1, 5)),
        *draw(st.sampled_from([(), (1,), (3,)])),
    )
    form = draw(st.sampled_from(["flat", "column", "one-hot"]))
    kind = (
        draw(st.sampled_from([np.uint8, np.int64, np.float32])) if form == "one-hot" else np.uint8
    )
    values = draw(st.lists(st.integers(0, 9), min_size=2, max_size=5, unique=True).map(sorted))
    naming = draw(st.sampled_from(["none", "texts", "bytes"]))
    if form == "one-hot" or naming != "none":
        values = list(range(len(values)))
    texts = list(map(str, values)) if naming == "none" else CLASSES[: len(values)]
    arrays: dict[str, np.ndarray] = {}
    expected: dict[str, list[str]] = {}
    for split in ("train", "test"):
        # Each class has training images.
        more = draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=6))
        classes = draw(st.permutations([*(range(len(values)) if split == "train" else ()), *more]))
        size = (len(classes), *shape)
        arrays[f"{split}_images"] = draw(npst.arrays(np.uint8, size))
        labels = np.array([values[number] for number in classes])
        if form == "one-hot":
            labels = np.eye(len(values))[labels]
        arrays[f"{split}_labels"] = (labels[:, None] if form == "column" else labels).astype(kind)
        expected[split] = [texts[number] for number in classes]
    if naming != "none":
        arrays["class_names"] = np.array(
            texts if naming == "texts" else [text.encode() for text in texts]
        )
    return arrays, expected


@given(data_sets())
def test_images_keep_their_classes_in_every_form(
    data: tuple[dict[str, np.ndarray], dict[str, list[str]]],
) -> None:
    arrays, expected = data
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "data.npz", **arrays)
        sources = dict(zip(("train", "test"), open_arrays(Path(folder) / "data.npz"), strict=True))
    for split, source in sources.items():
        images, labels = source.read(np.arange(len(source)))
        assert [source.class_names[label] for label in labels] == expected[split]
        given_images = arrays[f"{split}_images"]
        assert images.ndim == 4 and labels.dtype == np.int32
        np.testing.assert_array_equal(images, given_images.reshape(images.shape))
        assert images.shape[:3] == given_images.shape[:3]
