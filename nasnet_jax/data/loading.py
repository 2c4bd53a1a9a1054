"""Decoding of all images of a source into memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nasnet_jax.cores import usable_cores
from nasnet_jax.data import decoding
from nasnet_jax.data.image_file import ImageError, decode_image
from nasnet_jax.data.reading import Example, read_parts
from nasnet_jax.data.source import ArraySource, Source
from nasnet_jax.data.tensorflow_cpu import tf


def decoded_images(
    source: Source, image_size: int | None
) -> Iterator[tuple[np.ndarray | ImageError, int]]:
    """Yields all examples of a source in order, several of them decoded at a time.

    Args:
        source: The images.
        image_size: Height and width to which they are brought (`decoding.resize_square`), or
            `None`.

    Yields:
        An image, uint8 `[height, width, channels]`, or why there is none, and its label.

    Raises:
        OSError: If something cannot be read now, which says nothing about the image.
    """

    def sized(image: np.ndarray) -> np.ndarray:
        if image_size is None or image.shape[:2] == (image_size, image_size):
            return image
        return _resize(image.shape[-1], image_size)(image).numpy()

    def decoded(example: Example) -> np.ndarray | ImageError:
        if example.error is not None:
            return example.error
        name = source.describe(example.number)
        try:
            return sized(decode_image(example.contents, source.channels, name))
        except ImageError as error:
            return error

    if isinstance(source, ArraySource):
        for image, label in zip(source.images, source.labels, strict=True):
            yield sized(image), label
        return
    with ThreadPoolExecutor(usable_cores(), "decode") as pool:
        for part in read_parts(source, range(len(source))):
            for example, image in zip(part, pool.map(decoded, part), strict=True):
                yield image, example.label


@functools.cache
def _resize(channels: int, size: int) -> tf.types.experimental.GenericFunction:
    """`decoding.resize_square`, traced once for images of all sizes."""
    return tf.function(
        lambda image: decoding.resize_square(image, size),
        input_signature=[tf.TensorSpec([None, None, channels], tf.uint8)],
        autograph=False,
    )
