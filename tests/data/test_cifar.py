from __future__ import annotations

import functools

import numpy as np
import pytest

from nasnet_jax.data.cifar import eval_image, train_image
from nasnet_jax.data.tensorflow_cpu import tf

SIZE = 12


@functools.cache
def compiled(padding: int, flip: bool, cutout: int) -> tf.types.experimental.PolymorphicFunction:
    """Compiled because the tests draw many images."""
    options = {"size": SIZE, "padding": padding, "flip": flip, "cutout": cutout}

    def augment(image: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        return train_image(image, 1, tf.stack([tf.zeros_like(number), number]), **options)

    return tf.function(augment)


def draw(image: np.ndarray, number: int, *, padding: int, flip: bool, cutout: int) -> np.ndarray:
    function = compiled(padding, flip, cutout)
    numbers = tf.range(number, dtype=tf.int64)
    return np.stack([function(tf.constant(image), number) for number in numbers])


def test_without_augmentation_images_are_only_scaled() -> None:
    image = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE, 1)
    (drawn,) = draw(image, 1, padding=0, flip=False, cutout=0)
    np.testing.assert_allclose(drawn, image / 127.5 - 1, atol=1e-6)
    prepared = eval_image(tf.constant(image), 1, size=SIZE)
    np.testing.assert_allclose(prepared, image / 127.5 - 1, atol=1e-6)


def test_crops_are_all_shifts_within_the_padding() -> None:
    image = np.zeros((SIZE, SIZE, 1), np.uint8)
    image[5, 7] = 255
    drawn = draw(image, 200, padding=2, flip=False, cutout=0)
    rows, columns = np.nonzero(drawn[..., 0] == 1)[1:]
    assert len(rows) == 200
    assert set(zip((rows - 5).tolist(), (columns - 7).tolist(), strict=True)) == {
        (row, column) for row in range(-2, 3) for column in range(-2, 3)
    }


def test_half_of_the_images_are_mirrored_or_none() -> None:
    image = np.zeros((SIZE, SIZE, 1), np.uint8)
    image[5, 7] = 255
    for flip, expected in ((True, {4, 7}), (False, {7})):
        drawn = draw(image, 100, padding=0, flip=flip, cutout=0)
        columns = np.nonzero(drawn[..., 0] == 1)[2]
        assert set(columns.tolist()) == expected
        if flip:
            assert 0.3 < np.mean(columns == 4) < 0.7


@pytest.mark.parametrize("cutout", [3, 4])
def test_cutout_is_a_square_whose_centre_is_anywhere(cutout: int) -> None:
    image = np.full((SIZE, SIZE, 1), 255, np.uint8)
    drawn = draw(image, 400, padding=0, flip=False, cutout=cutout)
    holes = drawn[..., 0] == 0
    assert (drawn[..., 0][~holes] == 1).all()
    heights, widths = holes.any(axis=2).sum(axis=1), holes.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(holes.sum(axis=(1, 2)), heights * widths)
    assert heights.max() == widths.max() == cutout
    # At the edge a part of it lies outside, but its centre never does.
    assert heights.min() == widths.min() == cutout // 2 + cutout % 2
    assert holes.any(axis=0).all()


def test_images_of_another_size_are_resized() -> None:
    image = np.full((30, 40, 3), 51, np.uint8)
    np.testing.assert_allclose(
        eval_image(tf.io.encode_png(image), 3, size=SIZE), np.full((SIZE, SIZE, 3), -0.6), atol=1e-6
    )
