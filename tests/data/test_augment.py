from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasnet_jax.data.augment import channel_statistics, random_crop_flip, standardize

pytestmark = pytest.mark.newest


def coordinates(batch: int, size: int) -> jax.Array:
    """Returns images whose pixels hold their own row and column, both counted from 1."""
    rows, columns = jnp.meshgrid(jnp.arange(1, size + 1), jnp.arange(1, size + 1), indexing="ij")
    return jnp.tile(jnp.stack([rows, columns], axis=-1), (batch, 1, 1, 1))


def place_of_corner(image: np.ndarray, padding: int) -> tuple[int, int, bool]:
    """Recovers shift down, shift right and mirroring from a crop of `coordinates`."""
    size = image.shape[0]
    centre = size // 2
    mirrored = image[centre, centre, 1] > image[centre, centre + 1, 1]
    if mirrored:
        image = image[:, ::-1]
    row, column = image[centre, centre]
    return int(row) - 1 - centre, int(column) - 1 - centre, bool(mirrored)


@given(padding=st.integers(0, 3), flip=st.booleans(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_every_image_is_a_shifted_and_perhaps_mirrored_copy(
    padding: int, flip: bool, seed: int
) -> None:
    size = 9
    images = coordinates(4, size)
    crops = np.asarray(random_crop_flip(jax.random.key(seed), images, padding=padding, flip=flip))
    for image, crop in zip(np.asarray(images), crops, strict=True):
        down, right, mirrored = place_of_corner(crop, padding)
        assert abs(down) <= padding
        assert abs(right) <= padding
        assert flip or not mirrored
        padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        top, left = padding + down, padding + right
        expected = padded[top : top + size, left : left + size]
        np.testing.assert_array_equal(crop, expected[:, ::-1] if mirrored else expected)


def test_all_shifts_are_equally_likely_and_half_of_the_images_are_mirrored() -> None:
    number, padding = 5_000, 2
    crops = np.asarray(random_crop_flip(jax.random.key(0), coordinates(number, 9), padding=padding))
    places = [place_of_corner(crop, padding) for crop in crops]
    shifts, counts = np.unique([place[:2] for place in places], axis=0, return_counts=True)
    assert len(shifts) == (2 * padding + 1) ** 2
    # Five standard deviations of a binomial count.
    expected = number / len(shifts)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    mirrored = np.mean([place[2] for place in places])
    assert abs(mirrored - 0.5) < 5 * 0.5 / np.sqrt(number)


def test_a_constant_image_keeps_its_sum_less_the_rows_and_columns_shifted_out() -> None:
    size, padding = 8, 4
    images = jnp.ones((64, size, size, 1))
    crops = np.asarray(random_crop_flip(jax.random.key(1), images, padding=padding))
    kept = {down * right for down in range(4, 9) for right in range(4, 9)}
    assert set(crops.sum(axis=(1, 2, 3)).astype(int).tolist()) <= kept


def test_it_is_the_same_function_inside_jit_and_scan_and_keeps_the_type() -> None:
    images = jax.random.bits(jax.random.key(2), (3, 6, 6, 3), "uint8")
    keys = jax.random.split(jax.random.key(3), 2)
    scanned = jax.jit(
        lambda: jax.lax.scan(lambda _, key: (None, random_crop_flip(key, images)), None, keys)[1]
    )()
    assert scanned.dtype == jnp.uint8
    for crop, key in zip(scanned, keys, strict=True):
        np.testing.assert_array_equal(crop, random_crop_flip(key, images))


def test_whitened_images_have_mean_0_and_deviation_1() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, [100, 200, 256], (50, 7, 5, 3)).astype(np.uint8)
    mean, deviation = channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(deviation, images.std(axis=(0, 1, 2), dtype=np.float64), rtol=1e-6)
    white = np.asarray(standardize(jnp.asarray(images), mean, deviation))
    assert white.dtype == np.float32
    np.testing.assert_allclose(white.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(white.std(axis=(0, 1, 2)), 1, rtol=1e-5)


def test_a_channel_that_never_changes_whitens_to_zeros() -> None:
    images = np.full((2, 3, 3, 1), 7, np.uint8)
    mean, deviation = channel_statistics(images)
    assert (mean, deviation) == (7, 1)
    assert not np.asarray(standardize(jnp.asarray(images), mean, deviation)).any()
