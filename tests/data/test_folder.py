from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from nasnet_jax.data.folder import open_folder


def test_without_splits_a_fifth_of_each_class_is_for_testing(png_folder: Path) -> None:
    train, test = open_folder(png_folder)
    assert train.class_names == test.class_names == ("cat", "dog")
    np.testing.assert_array_equal(np.bincount(train.labels), [8, 5])
    np.testing.assert_array_equal(np.bincount(test.labels), [2, 1])
    assert len({*train.paths, *test.paths}) == 16


def test_the_split_depends_on_the_names_alone(png_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(png_folder, tmp_path / "copy")
    original, copied = open_folder(png_folder)[1], open_folder(copy)[1]
    assert [path.relative_to(png_folder) for path in original.paths] == [
        path.relative_to(copy) for path in copied.paths
    ]


def test_folders_of_splits_are_taken_as_they_are(png_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(png_folder, tmp_path / "train")
    shutil.copytree(png_folder / "cat", tmp_path / "val" / "dog")
    shutil.copytree(png_folder / "dog", tmp_path / "val" / "cat")
    train, test = open_folder(tmp_path)
    assert len(train) == len(test) == 16
    np.testing.assert_array_equal(np.bincount(test.labels), [6, 10])


def test_reading_returns_contents_and_labels_in_the_order_asked_for(png_folder: Path) -> None:
    train, _ = open_folder(png_folder)
    contents, labels = train.read(np.array([12, 0]))
    assert contents.tolist() == [train.paths[12].read_bytes(), train.paths[0].read_bytes()]
    assert labels.tolist() == [1, 0]


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no folder 'nowhere/at/all'"):
        open_folder("nowhere/at/all")


def test_one_class_is_refused(png_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(png_folder / "cat", tmp_path / "cat")
    with pytest.raises(ValueError, match=r"at least two, but it holds \['cat'\]"):
        open_folder(tmp_path)


def test_a_class_with_one_image_is_refused(png_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(png_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "fox").mkdir()
    shutil.copy(png_folder / "cat" / "0.png", tmp_path / "fox" / "0.png")
    with pytest.raises(ValueError, match="Class 'fox' .* only one image"):
        open_folder(tmp_path)


def test_a_folder_without_images_is_refused(png_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(png_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("no image")
    with pytest.raises(ValueError, match="notes' should hold the images of a class"):
        open_folder(tmp_path)


def test_splits_with_other_classes_are_refused(png_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(png_folder, tmp_path / "train")
    shutil.copytree(png_folder, tmp_path / "test")
    (tmp_path / "test" / "dog").rename(tmp_path / "test" / "fox")
    with pytest.raises(ValueError, match=r"differ by \['dog', 'fox'\]"):
        open_folder(tmp_path)


def test_train_without_test_is_refused(png_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(png_folder, tmp_path / "train")
    with pytest.raises(ValueError, match="none named 'test'"):
        open_folder(tmp_path)
