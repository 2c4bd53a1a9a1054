"""Decoding and resizing of images in a pipeline of tf.data.

An image is either a scalar string, the contents of a file, or uint8 `[height, width, channels]`;
sources of both kinds go through the same functions.

What a file means is said by `image_file`, which decodes it for a prediction. TensorFlow decodes
JPEGs, the photographs of large data sets, in half the time and within a window alone, and set up as
here to the same pixels. Every other file is decoded by `image_file` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nasnet_jax.data import image_file
from nasnet_jax.data.tensorflow_cpu import tf

Tensor = Any
"""A `tf.Tensor`; TensorFlow has no types of its own."""

_AS_PILLOW = {"dct_method": "INTEGER_ACCURATE", "fancy_upscaling": True}
"""How TensorFlow decodes a JPEG as Pillow does, bit for bit."""


def decode(image: Tensor, channels: int) -> Tensor:
    """Returns an image as uint8 `[height, width, channels]`."""
    if image.dtype != tf.string:
        return image
    return tf.ensure_shape(
        tf.cond(
            _is_plain_jpeg(image, channels),
            lambda: tf.io.decode_jpeg(image, channels=channels, **_AS_PILLOW),
            lambda: _in_python(
                lambda contents: image_file.decode_image(contents, channels), [image], tf.uint8
            ),
        ),
        [None, None, channels],
    )


def decode_crop(image: Tensor, window: Tensor, channels: int) -> Tensor:
    """Returns a part of an image; a JPEG is decoded within that part only.

    Args:
        image: The image.
        window: int32 `[4]`: top, left, height and width of the part in pixels.
        channels: Channels of the decoded image.

    Returns:
        uint8 `[window height, window width, channels]`.
    """
    if image.dtype != tf.string:
        return _crop(image, window)

    def in_python(contents: bytes, window: np.ndarray) -> np.ndarray:
        top, left, height, width = window
        return image_file.decode_image(contents, channels)[top : top + height, left : left + width]

    return tf.ensure_shape(
        tf.cond(
            _is_plain_jpeg(image, channels),
            lambda: _decode_jpeg_within(image, window, channels),
            lambda: _in_python(in_python, [image, window], tf.uint8),
        ),
        [None, None, channels],
    )


def shape(image: Tensor, channels: int) -> Tensor:
    """Returns height, width and channels of an image, int32 `[3]`, without decoding it."""
    if image.dtype != tf.string:
        return tf.shape(image)

    def in_python(contents: bytes) -> np.ndarray:
        return np.array([*image_file.image_size(contents), channels], np.int32)

    return tf.ensure_shape(
        tf.cond(
            _is_plain_jpeg(image, channels),
            lambda: tf.image.extract_jpeg_shape(image),
            lambda: _in_python(in_python, [image], tf.int32),
        ),
        [3],
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


def _is_plain_jpeg(image: Tensor, channels: int) -> Tensor:
    """Whether it is a JPEG that has the channels asked for, or is grey.

    From colours Pillow makes grey otherwise than TensorFlow, and from inks (CMYK) colours.
    """
    return tf.cond(
        tf.io.is_jpeg(image),
        lambda: tf.reduce_any(tf.image.extract_jpeg_shape(image)[2] == [1, channels]),
        lambda: False,
    )


def _decode_jpeg_within(image: Tensor, window: Tensor, channels: int) -> Tensor:
    """Decodes a window of a JPEG to the pixels that the whole image has there.

    Colours are stored at half the resolution and interpolated; at the border of what is decoded the
    neighbours are missing, so a pixel more is decoded at each side.
    """
    sides = tf.image.extract_jpeg_shape(image)[:2]
    begin = tf.maximum(window[:2] - 1, 0)
    end = tf.minimum(window[:2] + window[2:] + 1, sides)
    wider = tf.image.decode_and_crop_jpeg(
        image, tf.concat([begin, end - begin], axis=0), channels=channels, **_AS_PILLOW
    )
    return _crop(wider, tf.concat([window[:2] - begin, window[2:]], axis=0))


def _crop(image: Tensor, window: Tensor) -> Tensor:
    return tf.slice(
        image, tf.pad(window[:2], [[0, 1]]), tf.pad(window[2:], [[0, 1]], constant_values=-1)
    )


def _in_python(function: Callable[..., np.ndarray], inputs: list[Tensor], output: Any) -> Tensor:
    """Calls a function of the contents of a file and of further arrays."""

    def call(contents: Any, *others: np.ndarray) -> np.ndarray:
        # Outside of a graph TensorFlow hands bytes over in an array.
        return function(np.asarray(contents, object).item(), *others)

    return tf.numpy_function(call, inputs, output, stateful=False)
