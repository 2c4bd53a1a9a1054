"""Images that cannot be decoded: found, refused, or left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nasnet_jax.cores import usable_cores
from nasnet_jax.data import decoding
from nasnet_jax.data.image_file import ImageError, decode_image
from nasnet_jax.data.reading import Example, read_parts
from nasnet_jax.data.remaining import Remaining, check_remaining
from nasnet_jax.data.source import Source
from nasnet_jax.data.tensorflow_cpu import tf


def leave_out_damaged(source: Source) -> tuple[Source, tuple[str, ...]]:
    """Leaves out those images of a source that cannot be decoded.

    All are decoded for it, several at a time. What is left depends on the images alone.

    Returns:
        The source without them, and what is wrong with each, a line that begins with its name.

    Raises:
        ValueError: If nothing of a class is left.
        OSError: If something cannot be read now, which says nothing about the image.
    """
    if not source.encoded:
        return source, ()
    errors: dict[int, ImageError] = {}
    labels = np.empty(len(source), np.int32)
    for example, error in _checked(source, range(len(source))):
        labels[example.number] = example.label
        if error is not None:
            errors[example.number] = error
    check_remaining(source, errors, labels)
    remaining = Remaining.of(source, errors)
    return remaining, remaining.left_out


def refuse_damaged(source: Source, numbers: Iterable[int]) -> None:
    """Raises ImageError for the first of these examples that cannot be decoded, if there is one."""
    for _, error in _checked(source, numbers):
        if error is not None:
            raise error


def _checked(source: Source, numbers: Iterable[int]) -> Iterator[tuple[Example, ImageError | None]]:
    """Decodes examples as a pipeline does, and yields them with what is wrong with them."""

    def check(example: Example) -> ImageError | None:
        if example.error is not None:
            return example.error
        name = source.describe(example.number)
        try:
            decode_image(example.contents, source.channels, name)
            decoding.decode(tf.constant(example.contents), source.channels)
        except ImageError as error:
            return error
        except tf.errors.OpError as error:
            return ImageError(
                f"{name} is an image that cannot be decoded, it seems damaged: leave it out, or get "
                f"it again. TensorFlow says: {error.message.splitlines()[0].rstrip('.')}."
            )
        return None

    with ThreadPoolExecutor(usable_cores(), "check") as pool:
        for part in read_parts(source, numbers):
            yield from zip(part, pool.map(check, part), strict=True)
