from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from nasnet_jax.inference import Preprocessing


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A random image, smooth enough to be like a photograph, with all levels."""
    rng = np.random.default_rng(height * 1000 + width)
    coarse = rng.integers(0, 256, (height // 3 + 2, width // 3 + 2, channels)).astype(np.uint8)
    fine = np.repeat(np.repeat(coarse, 3, 0), 3, 1)[:height, :width]
    return np.clip(fine + rng.integers(-20, 20, fine.shape), 0, 255).astype(np.uint8)


SIZES = [(12, 12), (13, 40), (47, 21), (5, 9), (64, 64), (101, 76)]


@pytest.mark.parametrize("size", SIZES)
def test_imagenet_is_what_its_evaluation_pipeline_gives(size: tuple[int, int]) -> None:
    from nasnet_jax.data.imagenet import eval_image
    from nasnet_jax.data.tensorflow_cpu import tf

    image = noise(*size)
    expected = eval_image(tf.constant(image), 3, size=12).numpy()
    prepared = Preprocessing.imagenet((12, 12)).apply(image)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared, expected, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_cifar_is_what_its_evaluation_pipeline_gives(size: tuple[int, int], channels: int) -> None:
    from nasnet_jax.data.cifar import eval_image
    from nasnet_jax.data.tensorflow_cpu import tf

    image = noise(*size, channels)
    expected = eval_image(tf.constant(image), channels, size=12).numpy()
    difference = np.abs(Preprocessing.cifar((12, 12), channels).apply(image) - expected)
    # A level of 255, where rounding errors decide between two; and that seldom.
    assert difference.max() < 1.01 / 127.5
    assert (difference > 1e-5).mean() < 0.02


def test_standardized_is_what_training_in_memory_gives() -> None:
    from nasnet_jax.data import channel_statistics, standardize

    images = np.stack([noise(8, 6), 255 - noise(8, 6)])
    mean, std = channel_statistics(images)
    prepared = Preprocessing.standardized((8, 6), mean, std).apply(images[0])
    np.testing.assert_allclose(prepared, standardize(jnp.array(images[0]), mean, std), atol=1e-6)


def test_the_crop_of_an_oblong_target_is_the_middle() -> None:
    """A ramp from left to right, scaled by 2, keeps its slope and loses equally at both ends."""
    ramp = np.tile(np.arange(0, 200, 10, dtype=np.uint8)[:, np.newaxis], (4, 1, 1))
    prepared = Preprocessing(image_size=(8, 20), mean=(0,), std=(1,)).apply(ramp)
    assert prepared.shape == (8, 20, 1)
    np.testing.assert_allclose(np.diff(prepared[0, :, 0]), 5, atol=1)
    np.testing.assert_allclose(prepared.mean(), ramp.mean(), atol=0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, jnp.bfloat16])
def test_floating_point_from_0_to_1_is_uint8_from_0_to_255(dtype: type) -> None:
    image = noise(8, 8)
    preprocessing = Preprocessing.cifar((8, 8))
    floating = (image / 255).astype(dtype)
    tolerance = 0.01 if dtype == jnp.bfloat16 else 1e-5
    np.testing.assert_allclose(
        preprocessing.apply(floating), preprocessing.apply(image), atol=tolerance
    )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8), np.uint8), "shape"),
        (np.zeros((8, 8, 4), np.uint8), "3 channels"),
        (np.zeros((0, 8, 3), np.uint8), "shape"),
        (np.zeros((8, 8, 3), np.int64), "not int64"),
        (np.full((8, 8, 3), 255.0), r"in \[0, 1\]"),
        (np.full((8, 8, 3), -0.5), r"in \[0, 1\]"),
        (np.full((8, 8, 3), np.nan), r"in \[0, 1\]"),
    ],
)
def test_what_is_no_image_is_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing.cifar((8, 8)).apply(image)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": (8, 0)}, "image_size"),
        ({"std": (1, 0, 1)}, "std"),
        ({"mean": (1,)}, "mean and std"),
        ({"resize": "zoom"}, "resize"),
        ({"central_fraction": 0}, "central_fraction"),
    ],
)
def test_fields_out_of_range_are_named(fields: dict, message: str) -> None:
    valid = {"image_size": (8, 8), "mean": (0, 0, 0), "std": (1, 1, 1)}
    with pytest.raises(ValueError, match=message):
        Preprocessing(**(valid | fields))
