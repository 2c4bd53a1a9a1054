"""Which images of a source cannot be decoded."""

from __future__ import annotations

from collections.abc import Iterable

from nasnet_jax.data import decoding
from nasnet_jax.data.image_file import ImageError, decode_image
from nasnet_jax.data.reading import read_parts
from nasnet_jax.data.source import Source
from nasnet_jax.data.tensorflow_cpu import tf


def refuse_damaged(source: Source, numbers: Iterable[int]) -> None:
    """Raises ImageError for the first of these examples that cannot be decoded, if there is one."""
    for part in read_parts(source, numbers):
        for example in part:
            if example.error is not None:
                raise example.error
            check(example.contents, source.channels, source.describe(example.number))


def check(contents: bytes, channels: int, name: str) -> None:
    """Decodes an image as a pipeline does, to see whether it can.

    Raises:
        ImageError: If not.
    """
    decode_image(contents, channels, name)
    try:
        decoding.decode(tf.constant(contents), channels)
    except tf.errors.OpError as error:
        raise ImageError(
            f"{name} is an image that cannot be decoded, it seems damaged: leave it out, or get it "
            f"again. TensorFlow says: {error.message.splitlines()[0]}"
        ) from error
