from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nasnet_jax.data.folder import open_folder


def make(root: Path, *folders: str, each: int = 3) -> Path:
    """Makes folders with images in each, as empty files."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in range(each):
            (root / folder / f"{number}.png").touch()
    return root


def numbers(root: Path) -> tuple[tuple[str, ...], int, int]:
    """What was found: the classes, and the numbers of training and of test images."""
    train, test = open_folder(root)
    assert train.class_names == test.class_names
    return train.class_names, len(train), len(test)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(caplog.messages)


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


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training", "validation"),
        ("train", "valid"),
        ("Train", "Test"),
        ("TRAINING_SET", "test-set"),
        ("train2017", "val2017"),
        ("seg_train/seg_train", "seg_test/seg_test"),
    ],
)
def test_splits_of_other_names_are_no_classes(tmp_path: Path, train: str, test: str) -> None:
    make(tmp_path, f"{train}/cat", f"{train}/dog")
    make(tmp_path, f"{test}/cat", f"{test}/dog", each=2)
    assert numbers(tmp_path) == (("cat", "dog"), 6, 4)


@pytest.mark.parametrize("flat", ["test", "test/images", "test/images/deep"])
def test_val_is_taken_where_test_has_no_classes(
    tmp_path: Path, flat: str, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "train/cat", "train/dog", "val/cat", "val/dog", flat)
    assert numbers(tmp_path) == (("cat", "dog"), 6, 6)
    assert "not used: the folder 'test'." in logged(caplog)


def test_a_test_split_goes_before_validation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "train/a", "train/b", "valid/a", "valid/b", "dev/x", "papers")
    make(tmp_path, "test/a", "test/b", each=1)
    assert numbers(tmp_path) == (("a", "b"), 6, 2)
    assert "not used: the folder 'dev', the folder 'papers', the folder 'valid'." in logged(caplog)


def test_a_class_may_be_called_train_within_splits(tmp_path: Path) -> None:
    make(tmp_path, "train/bus", "train/train", "test/bus", "test/train")
    assert numbers(tmp_path) == (("bus", "train"), 6, 6)


def test_folders_around_the_data_do_not_matter(tmp_path: Path) -> None:
    make(tmp_path, "download/animals/cat", "download/animals/dog", "__MACOSX/animals/cat", each=5)
    inside = open_folder(tmp_path / "download" / "animals")
    for ours, theirs in zip(open_folder(tmp_path), inside, strict=True):
        assert ours.class_names == theirs.class_names == ("cat", "dog")
        assert ours.paths == theirs.paths
    make(tmp_path / "more", "set/train/cat", "set/train/dog", "set/val/cat", "set/val/dog")
    assert numbers(tmp_path / "more") == (("cat", "dog"), 6, 6)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train/a", "train/b", "training/a", "test/a"], "'train', 'training', which may all be"),
        (["train/a", "train/b", "val/a", "valid/b"], "'val', 'valid', which may all be the same"),
        (["test/a", "test/b", "val/a", "val/b"], "none named 'train'"),
        (["test", "cat", "dog"], "none named 'train'.*if these are classes, give them other"),
        (["train", "bus", "car"], "none named 'test', .*If these are classes, give them other"),
        (["train", "val"], "none named 'test', .* of the same classes"),
        (["train/a", "train/b", "test/new"], "none named 'test', .* of the same classes"),
        (["abc_train/a", "abc_test/a"], "'abc_test', 'abc_train' .* seem to be splits"),
        (
            ["cat/train", "cat/test", "dog/train", "dog/test"],
            "'test', 'train' in .*cat' seem to be",
        ),
        (["train/train/a", "train/test/a", "test/test"], "'test', 'train' .* seem to be splits"),
        (["Cat", "cat"], "differ in nothing but capital letters"),
        (["caf\u00e9", "cafe\u0301"], "the form of an accent"),
        ([], "at least two, but it holds none"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path: Path, folders: Sequence[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        open_folder(make(tmp_path, *folders))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_classes_of_both_splits_are_the_same_in_any_writing(tmp_path: Path) -> None:
    make(tmp_path, "train/Caf\u00e9", "train/dog")
    make(tmp_path, "test/cafe\u0301", "test/Dog", each=1)
    assert numbers(tmp_path) == (("Caf\u00e9", "dog"), 6, 2)
    assert [path.parent.name for path in open_folder(tmp_path)[1].paths] == ["cafe\u0301", "Dog"]


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "cat", os.fsdecode(b"caf\xe9"))
    with pytest.raises(ValueError, match="not in UTF-8"):
        open_folder(tmp_path)


def test_what_is_not_used_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, "cat/more", "dog", each=4)
    for name in (
        "stray.png",
        "labels.csv",
        "cat/a.heic",
        "cat/more/b.HEIC",
        "dog/x",
        "dog/.c.heic",
    ):
        (tmp_path / name).touch()
    assert numbers(tmp_path) == (("cat", "dog"), 6, 2)
    assert f"folder:{tmp_path}: not used: 1 without suffix, 1 .csv, 2 .heic, " in logged(caplog)
    assert "1 image outside of the folders of the classes." in logged(caplog)


def test_nothing_is_said_where_everything_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "cat", "dog", "dog/.ipynb_checkpoints")
    (tmp_path / ".DS_Store").touch()
    assert numbers(tmp_path) == (("cat", "dog"), 4, 2)
    assert not caplog.messages


def test_links_are_followed_and_those_to_nothing_named(tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "elsewhere", "dogs", each=10)
    root = make(tmp_path / "root", "cat", "dog", each=10)
    (root / "dog" / "more").symlink_to(elsewhere / "dogs")
    (root / "dog" / "back").symlink_to(root)
    train, test = open_folder(root)
    np.testing.assert_array_equal(np.bincount(train.labels) + np.bincount(test.labels), [10, 20])
    (root / "cat" / "lost.png").symlink_to("/nowhere/x.png")
    (root / "cat" / "folder").symlink_to("/nowhere")
    with pytest.raises(FileNotFoundError, match=r"cat/folder' leads nowhere; '/nowhere' is not"):
        open_folder(root)
    # One who leaves out what cannot be read gets the path.
    train, test = open_folder(root, skip_damaged=True)
    assert root / "cat" / "lost.png" in {*train.paths, *test.paths}
    assert len(train) + len(test) == 31


def test_one_folder_by_two_names_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "classes", "cat", "dog")
    (root / "hound").symlink_to(root / "dog")
    with pytest.raises(ValueError, match="dog' and .*hound' are the same"):
        open_folder(root)
    splits = make(tmp_path / "splits", "train/cat", "train/dog")
    (splits / "test").symlink_to(splits / "train")
    with pytest.raises(ValueError, match="one and the same folder"):
        open_folder(splits)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "images.zip").touch()
    with pytest.raises(FileNotFoundError, match="is a file, and should be a folder"):
        open_folder(tmp_path / "images.zip")
