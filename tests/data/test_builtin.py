from __future__ import annotations

import numpy as np
import pytest

from nasnet_jax.data.builtin import FakeSpec, load_digits, make_fake

pytestmark = pytest.mark.newest


def test_digits_are_all_there_once_with_balanced_test_images() -> None:
    from sklearn import datasets

    digits = load_digits()
    assert digits.image_shape == (8, 8, 1)
    assert len(digits.test_images) == 360
    images = np.concatenate([digits.train_images, digits.test_images])
    assert images.max() == 255
    grey = np.rint(images[..., 0] * (16 / 255))
    original = datasets.load_digits().images
    assert sorted(map(bytes, grey.astype(np.uint8))) == sorted(
        map(bytes, original.astype(np.uint8))
    )
    counts = np.bincount(digits.test_labels)
    assert counts.max() - counts.min() <= 2


def test_digits_are_split_the_same_way_every_time() -> None:
    np.testing.assert_array_equal(load_digits().test_images, load_digits().test_images)


def test_a_nearest_neighbour_reads_the_digits_so_labels_belong_to_images() -> None:
    digits = load_digits()
    train = digits.train_images.reshape(len(digits.train_images), -1).astype(np.float32)
    test = digits.test_images.reshape(len(digits.test_images), -1).astype(np.float32)
    distances = (test**2).sum(1)[:, None] - 2 * test @ train.T + (train**2).sum(1)
    found = digits.train_labels[distances.argmin(axis=1)]
    assert np.mean(found == digits.test_labels) > 0.97


def test_fake_images_can_be_learnt_and_are_balanced() -> None:
    spec = FakeSpec(num_train=400, num_test=100, num_classes=4, image_size=12, channels=3)
    fake = make_fake(spec)
    assert fake.image_shape == (12, 12, 3)
    np.testing.assert_array_equal(np.bincount(fake.train_labels), [100] * 4)
    means = np.stack(
        [fake.train_images[fake.train_labels == label].mean(axis=0) for label in range(4)]
    )
    distances = ((fake.test_images[:, np.newaxis] - means) ** 2).sum(axis=(2, 3, 4))
    assert np.mean(distances.argmin(axis=1) == fake.test_labels) > 0.9


def test_the_seed_decides_the_fake_images() -> None:
    def images(seed: int) -> np.ndarray:
        return make_fake(FakeSpec(num_train=8, num_test=2, image_size=4, seed=seed)).train_images

    np.testing.assert_array_equal(images(0), images(0))
    assert (images(0) != images(1)).any()


def test_an_impossible_spec_is_refused() -> None:
    with pytest.raises(ValueError, match="image_size=0"):
        FakeSpec(image_size=0)
