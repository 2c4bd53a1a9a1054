from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from nasnet_jax.data.builtin import FakeSpec, load_digits
from nasnet_jax.data.dataset import DifferentSizesError
from nasnet_jax.data.sources import load_arrays, open_sources, open_test_source


def test_digits_and_fake_by_name() -> None:
    np.testing.assert_array_equal(load_arrays("digits").train_images, load_digits().train_images)
    fake = load_arrays("fake", fake=FakeSpec(num_train=6, num_test=3, num_classes=3, image_size=5))
    assert fake.train_images.shape == (6, 5, 5, 3)
    larger = load_arrays("fake", image_size=7, fake=FakeSpec(num_train=4, num_test=2))
    assert larger.image_shape == (7, 7, 3)


def test_the_sources_of_digits_are_its_arrays() -> None:
    digits, (_, test) = load_digits(), open_sources("digits")
    images, labels = test.read(np.array([7, 3]))
    np.testing.assert_array_equal(images, digits.test_images[[7, 3]])
    np.testing.assert_array_equal(labels, digits.test_labels[[7, 3]])


@pytest.mark.parametrize("name", ["digits", "fake", "folder:images", "arrays:file.npz"])
def test_only_tfds_has_splits_by_name(name: str) -> None:
    for opened in (
        lambda: open_sources(name, test_split="train[80%:]"),
        lambda: open_test_source(name, split="train[80%:]"),
    ):
        with pytest.raises(
            ValueError, match="is a split of TFDS, but the data set '.*' has its own"
        ):
            opened()


@pytest.mark.parametrize("name", ["folder:", "arrays:"])
def test_a_path_is_needed(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' names no path"):
        open_sources(name)


def test_an_integer_enlargement_keeps_the_mean() -> None:
    small, large = load_arrays("digits"), load_arrays("digits", image_size=16)
    assert large.image_shape == (16, 16, 1)
    np.testing.assert_array_equal(small.test_labels, large.test_labels)
    difference = small.test_images.mean((1, 2, 3)) - large.test_images.mean((1, 2, 3))
    assert np.abs(difference).max() < 8


def test_the_shorter_side_is_kept_and_the_longer_one_cropped(png_folder: Path) -> None:
    whole = load_arrays(f"folder:{png_folder}")
    assert whole.image_shape == (12, 16, 3)
    square = load_arrays(f"folder:{png_folder}", image_size=12)
    np.testing.assert_array_equal(square.train_images, whole.train_images[:, :, 2:14])


def test_images_of_several_sizes_need_a_size(png_folder: Path, tmp_path: Path) -> None:
    from nasnet_jax.data.tensorflow_cpu import tf

    shutil.copytree(png_folder, tmp_path, dirs_exist_ok=True)
    wide = tf.io.encode_png(np.zeros((12, 40, 3), np.uint8))
    tf.io.write_file(str(tmp_path / "cat" / "9.png"), wide)
    with pytest.raises(DifferentSizesError, match="differ in size"):
        load_arrays(f"folder:{tmp_path}")
    assert load_arrays(f"folder:{tmp_path}", image_size=8).image_shape == (8, 8, 3)


def test_real_cifar10(shared_data_dir: Path) -> None:
    dataset = load_arrays("cifar10", data_dir=shared_data_dir, image_size=32)
    assert dataset.train_images.shape == (10_000, 32, 32, 3)
    assert dataset.test_images.shape == (2_000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(dataset.train_labels), [1_000] * 10)


def test_real_images_of_several_sizes(shared_data_dir: Path) -> None:
    dataset = load_arrays("imagenette/160px-v2", data_dir=shared_data_dir, image_size=32)
    assert dataset.train_images.shape == (1_000, 32, 32, 3)
    assert dataset.test_images.shape == (400, 32, 32, 3)
    # Neighbouring pixels of real images resemble each other.
    images = dataset.test_images.astype(np.float32)
    assert np.corrcoef(images[:, :, 1:].ravel(), images[:, :, :-1].ravel())[0, 1] > 0.8
