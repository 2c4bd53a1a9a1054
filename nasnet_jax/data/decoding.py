"""Decoding and resizing of images with TensorFlow, used by every pipeline.

An image is either a scalar string, the contents of a file, or uint8 `[height, width, channels]`;
sources of both kinds go through the same functions.
"""

from __future__ import annotations

from typing import Any

from nasnet_jax.data.tensorflow_cpu import tf

Tensor = Any
"""A `tf.Tensor`; TensorFlow has no types of its own."""


def decode(image: Tensor, channels: int) -> Tensor:
    """Returns an image as uint8 `[height, width, channels]`."""
    if image.dtype == tf.string:
        image = tf.io.decode_image(image, channels=channels, expand_animations=False)
        image.set_shape([None, None, channels])
    return image


def decode_crop(image: Tensor, window: Tensor, channels: int) -> Tensor:
    """Returns a part of an image; a JPEG is decoded within that part only.

    Args:
        image: The image.
        window: int32 `[4]`: top, left, height and width of the part in pixels.
        channels: Channels of the decoded image.

    Returns:
        uint8 `[window height, window width, channels]`.
    """

    def decode_all() -> Tensor:
        top, left, height, width = tf.unstack(window)
        return tf.image.crop_to_bounding_box(decode(image, channels), top, left, height, width)

    if image.dtype != tf.string:
        return decode_all()
    return tf.cond(
        tf.io.is_jpeg(image),
        lambda: tf.image.decode_and_crop_jpeg(image, window, channels=channels),
        decode_all,
    )


def shape(image: Tensor, channels: int) -> Tensor:
    """Returns height, width and channels of an image, int32 `[3]`; a JPEG is not decoded for it."""
    if image.dtype != tf.string:
        return tf.shape(image)
    return tf.cond(
        tf.io.is_jpeg(image),
        lambda: tf.image.extract_jpeg_shape(image),
        lambda: tf.shape(decode(image, channels)),
    )


def resize_square(image: Tensor, size: int) -> Tensor:
    """Brings an image to `size` x `size`: the shorter side to `size`, then the central square.

    Args:
        image: uint8 `[height, width, channels]`; returned as it is if it has the size already.
        size: Height and width in pixels.

    Returns:
        uint8 `[size, size, channels]`.
    """
    if image.shape[:2] == (size, size):
        return image
    return tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == size),
        lambda: image,
        lambda: _resize_and_crop(image, size),
    )


def _resize_and_crop(image: Tensor, size: int) -> Tensor:
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    scaled = tf.maximum(tf.cast(tf.round(sides * (size / tf.reduce_min(sides))), tf.int32), size)
    image = tf.image.resize(image, scaled, method="bilinear", antialias=True)
    image = tf.image.resize_with_crop_or_pad(image, size, size)
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
