from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from nasnet_jax.data import tfds_source
from nasnet_jax.data.image_file import ImageError
from nasnet_jax.data.sources import load_arrays
from nasnet_jax.data.tfds_source import TfdsSource, open_tfds, open_tfds_test

tfds = tfds_source.tfds
ENCODED = {"image": tfds.decode.SkipDecoding()}


def contents(source: TfdsSource) -> list[bytes]:
    return source.read(np.arange(len(source)))[0].tolist()


@pytest.mark.parametrize("name", ["tfrecords", "arrayrecords"])
def test_every_example_is_read_with_its_label(
    tfds_dir: Path, tfds_images: np.ndarray, name: str
) -> None:
    dataset = load_arrays(name, data_dir=tfds_dir)
    # TFDS shuffles when it prepares.
    assert sorted(map(bytes, dataset.train_images)) == sorted(map(bytes, tfds_images))
    np.testing.assert_array_equal(dataset.train_labels, dataset.train_images[:, 0, 0, 0] % 2)
    assert len(dataset.test_images) == 7
    assert dataset.class_names == ("even", "odd")


def test_examples_are_read_in_the_order_asked_for(tfds_dir: Path) -> None:
    train, test = open_tfds("tfrecords", data_dir=tfds_dir)
    assert (len(train), len(test)) == (23, 7)
    images, labels = train.read(np.array([5, 2]))
    for place, number in enumerate((5, 2)):
        (image,), (label,) = train.read(np.array([number]))
        assert image == images[place]
        assert label == labels[place]


def test_the_folder_may_be_in_the_home_folder(
    tfds_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tfds_dir.parent))
    assert len(open_tfds("tfrecords", data_dir=f"~/{tfds_dir.name}")[0]) == 23


def test_a_split_is_chosen_by_name(tfds_dir: Path) -> None:
    train, test = open_tfds("tfrecords", data_dir=tfds_dir, test_split="validation")
    assert (len(train), len(test)) == (23, 7)
    assert len(open_tfds_test("tfrecords", data_dir=tfds_dir, split="train")) == 23
    with pytest.raises(ValueError, match=r"'tests' is no split of \['train', 'validation'\]"):
        open_tfds("tfrecords", data_dir=tfds_dir, test_split="tests")


@pytest.mark.parametrize("name", ["tfrecords", "arrayrecords"])
@pytest.mark.parametrize(
    "part", ["train[80%:]", "train[:5]", "train[3:9]+train[-2:]", "train[20:10%]"]
)
def test_a_part_of_the_training_images_is_tested_on_and_the_rest_trained_on(
    tfds_dir: Path, name: str, part: str
) -> None:
    if part == "train[20:10%]":
        with pytest.raises(ValueError, match="not none at all"):
            open_tfds(name, data_dir=tfds_dir, test_split=part)
        return
    train, test = open_tfds(name, data_dir=tfds_dir, test_split=part)
    whole = contents(open_tfds_test(name, data_dir=tfds_dir, split="train"))
    assert sorted(contents(train) + contents(test)) == sorted(whole)
    # TFDS itself reads the same.
    if name == "tfrecords":
        theirs = tfds.load(name, data_dir=tfds_dir, split=part, decoders=ENCODED)
        assert contents(test) == [bytes(one["image"]) for one in theirs.as_numpy_iterator()]
    else:
        theirs = tfds.data_source(name, data_dir=tfds_dir, split=part, decoders=ENCODED)
        assert contents(test) == [one["image"] for one in theirs]


def test_where_all_are_for_training_the_last_fifth_is_tested_on(
    tfds_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train, test = open_tfds("only_train", data_dir=tfds_dir)
    assert (len(train), len(test)) == (18, 5)
    assert not {*contents(train)} & {*contents(test)}
    assert "no split but 'train'; its last fifth, 'train[80%:]', is what is" in caplog.messages[-1]
    assert contents(open_tfds_test("only_train", data_dir=tfds_dir)) == contents(test)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        (
            "only_train",
            "train",
            r"nothing is left to train on. Test on a part, such as 'train\[80%",
        ),
        ("only_train", "train[:5]+train[3:]", "each of them once"),
        ("tfrecords", "train[:5]+validation", "examples of one split"),
        ("tfrecords", "train[a:b]", "'train.a:b.' is no split of"),
        ("in_order", "", "no split 'test' or 'validation'; it has .'train'.. Name a split"),
        ("unlabelled", "", r"unlabelled \(test\) have no labels"),
    ],
)
def test_what_cannot_be_tested_on_is_refused(
    tfds_dir: Path, name: str, split: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        open_tfds(name, data_dir=tfds_dir, test_split=split)


def test_an_unknown_name_lists_what_there_is_and_what_is_near() -> None:
    with pytest.raises(ValueError, match=r"no data set 'cifar11'.*'cifar10'.*'folder:PATH'"):
        open_tfds("cifar11")


def test_without_a_network_the_error_comes_at_once_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_address(*_: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(tfds_source.socket, "getaddrinfo", no_address)
    monkeypatch.setattr(tfds_source.urllib.request, "getproxies", dict)
    with pytest.raises(FileNotFoundError, match=r"'cifar100' is not prepared in .*no network") as e:
        open_tfds("cifar100", data_dir=tmp_path)
    assert "tfds build cifar100" in str(e.value)


def test_a_data_set_downloaded_by_hand_says_which_files_it_needs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"(?s)preparing it failed.*ILSVRC2012_img_train"):
        open_tfds("imagenet2012", data_dir=tmp_path)


def test_a_part_of_the_files_is_refused(tmp_path: Path, tfds_dir: Path) -> None:
    import shutil

    shutil.copytree(tfds_dir, tmp_path, dirs_exist_ok=True)
    (file,) = (tmp_path / "tfrecords").rglob("*-train.tfrecord*")
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="should have 23 examples, but its files in .* hold 0"):
        open_tfds("tfrecords", data_dir=tmp_path)


def test_a_damaged_record_is_named_by_split_and_number(tmp_path: Path, tfds_dir: Path) -> None:
    shutil.copytree(tfds_dir / "tfrecords", tmp_path / "tfrecords")
    (file,) = (tmp_path / "tfrecords" / "1.0.0").glob("*train.tfrecord*")
    whole = file.read_bytes()
    # A record is its length and a checksum, 12 bytes, the data, and another checksum.
    second = 12 + int.from_bytes(whole[:8], "little") + 4 + 12
    file.write_bytes(whole[:second] + b"\xff" * 8 + whole[second + 8 :])
    with pytest.raises(
        ImageError, match=r"Image 1 of tfrecords \(train\) stands in a damaged record"
    ):
        load_arrays("tfrecords", data_dir=tmp_path)
    dataset = load_arrays("tfrecords", data_dir=tmp_path, skip_damaged=True)
    assert len(dataset.train_images) == 22 and len(dataset.left_out) == 1


def test_real_cifar10(shared_data_dir: Path) -> None:
    train, test = open_tfds("cifar10", data_dir=shared_data_dir)
    assert train.class_names[:2] == ("airplane", "automobile")
    assert train.channels == 3
    _, labels = test.read(np.arange(len(test)))
    assert set(labels.tolist()) == set(range(10))
