from __future__ import annotations

import numpy as np
import pytest

from nasnet_jax.data.image_file import decode_image
from nasnet_jax.data.imagenet import eval_image, train_image
from nasnet_jax.data.tensorflow_cpu import tf


def gradient(height: int, width: int) -> np.ndarray:
    """Returns an image whose first two channels are row and column, as shares of the whole."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    image = np.stack([rows / (height - 1), columns / (width - 1), 0 * rows + 0.5], axis=-1)
    return np.rint(255 * image).astype(np.uint8)


def seed(number: int) -> tf.Tensor:
    return tf.constant([0, number], tf.int64)


def window(image: np.ndarray) -> tuple[float, float, float, float]:
    """Recovers top, bottom, left and right, as shares, of a window of `gradient`."""
    shares = (image + 1) / 2
    rows, columns = shares[..., 0].mean(axis=1), shares[..., 1].mean(axis=0)
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_windows_have_the_areas_and_aspect_ratios_asked_for_and_all_differ() -> None:
    image = gradient(200, 300)
    areas, ratios, mirrored = [], [], []
    for number in range(100):
        crop = train_image(tf.constant(image), 3, seed(number), size=48, colour=False).numpy()
        top, bottom, left, right = window(crop)
        height, width = (bottom - top) * 200, (right - left) * 300
        areas.append(height * width / (200 * 300))
        ratios.append(width / height)
        mirrored.append(crop[..., 1].mean(axis=0)[0] > crop[..., 1].mean(axis=0)[-1])
    # The centres of the outer pixels lie inside the window, hence the tolerances.
    assert min(areas) > 0.04
    assert max(areas) <= 1
    assert min(ratios) > 0.75 * 0.9
    assert max(ratios) < 1.33 * 1.1
    assert len(np.unique(np.round(areas, 4))) > 90
    assert 0.3 < np.mean(mirrored) < 0.7


def test_equal_seeds_give_equal_images() -> None:
    image = tf.constant(gradient(40, 30))
    first, second, third = (train_image(image, 3, seed(n), size=16).numpy() for n in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


def test_a_jpeg_decoded_inside_the_window_is_the_window_of_the_decoded_jpeg() -> None:
    jpeg = tf.io.encode_jpeg(gradient(96, 128), quality=95)
    whole = tf.constant(decode_image(jpeg.numpy()))
    for number in range(5):
        inside = train_image(jpeg, 3, seed(number), size=32).numpy()
        outside = train_image(whole, 3, seed(number), size=32).numpy()
        np.testing.assert_array_equal(inside, outside)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_gives_what_its_pixels_give(channels: int) -> None:
    image = gradient(30, 40)[..., :channels]
    png = tf.io.encode_png(image)
    pixels = tf.constant(image)
    for prepared, expected in (
        (train_image(x, channels, seed(3), size=16) for x in (png, pixels)),
        (eval_image(x, channels, size=16) for x in (png, pixels)),
    ):
        np.testing.assert_array_equal(prepared, expected)


def test_colours_of_a_grey_image_change_only_in_brightness() -> None:
    """Saturation leaves grey alone; brightness moves it by at most 32 / 255 of [0, 1]."""
    grey = tf.constant(np.full((20, 20, 3), 128, np.uint8))
    values = np.array([train_image(grey, 3, seed(n), size=4).numpy() for n in range(60)])
    assert np.ptp(values, axis=(1, 2, 3)).max() < 1e-5
    shifts = (values[:, 0, 0, 0] + 1) / 2 - 128 / 255
    assert np.abs(shifts).max() <= 32 / 255 + 1e-6
    # A uniform distribution over a width of 64 / 255.
    assert shifts.std() == pytest.approx(64 / 255 / np.sqrt(12), rel=0.25)


def test_saturation_spreads_the_channels_by_a_half_to_one_and_a_half() -> None:
    colour = tf.constant(np.tile(np.array([150, 128, 106], np.uint8), (8, 8, 1)))
    values = np.array([train_image(colour, 3, seed(n), size=2).numpy()[0, 0] for n in range(60)])
    spread = (values[:, 0] - values[:, 2]) / (2 * 44 / 255)
    # Brightness after saturation leaves the spread, brightness before it scales it by up to 22 %.
    assert 0.5 * 0.78 - 1e-3 < spread.min() < 0.7
    assert 1.3 < spread.max() < 1.5 * 1.22 + 1e-3


def test_evaluation_sees_the_central_seven_eighths() -> None:
    crop = eval_image(tf.constant(gradient(160, 320)), 3, size=140).numpy()
    top, bottom, left, right = window(crop)
    np.testing.assert_allclose([top, left], 1 / 16, atol=0.01)
    np.testing.assert_allclose([bottom, right], 15 / 16, atol=0.01)


def test_evaluation_of_a_fitting_image_is_exact() -> None:
    image = gradient(16, 16)
    np.testing.assert_allclose(
        eval_image(tf.constant(image), 3, size=14), image[1:15, 1:15] / 127.5 - 1, atol=1e-6
    )
