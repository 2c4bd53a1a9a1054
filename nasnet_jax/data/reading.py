"""Contents of image files, read ahead by threads, in parts that are bounded by their bytes.

A part holds as many images as may be decoded at the same time, so that the memory that reading
takes does not grow with the size of the images. An image that is larger than all that is a part of
its own.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from nasnet_jax.cores import usable_cores
from nasnet_jax.data.image_file import ImageError, image_size
from nasnet_jax.data.source import Source

_IMAGES_AT_ONCE = 256
"""In a part, however small they are."""
_BYTES_PER_CORE = 48 * 2**20
"""For contents and decoded pixels, for each core that decodes."""
_BYTES_PER_PIXEL = 8
"""While an image is decoded: Pillow has four, of which it makes the three of the array."""
_BLOCK = 32
_BLOCK_BYTES = 4 * 2**20
"""Contents that a thread reads before it hands them on, in images and in bytes."""
_READERS = 2
"""Files read at the same time, so that one is read while the other waits for a slow disk."""


def bytes_at_once() -> int:
    """Bytes that images may take which are decoded at the same time."""
    return _BYTES_PER_CORE * usable_cores()


class Example(NamedTuple):
    """An example as it was read.

    Attributes:
        number: In its source.
        contents: Of the image's file; empty if they could not be read.
        label: Its class; -1 if it could not be read.
        size: Bytes that it takes while it is decoded.
        error: Why it cannot be decoded, if so much is known already.
    """

    number: int
    contents: bytes
    label: int
    size: int
    error: ImageError | None


def read_parts(source: Source, numbers: Iterable[int]) -> Iterator[list[Example]]:
    """Reads examples whose images are encoded, in this order.

    Args:
        source: Where they are.
        numbers: Which examples; may be without end.

    Yields:
        One or more examples.

    Raises:
        OSError: If one cannot be read now, which says nothing about the image.
    """
    limit = bytes_at_once()
    part: list[Example] = []
    size = 0
    with contextlib.closing(_read_ahead(source, numbers)) as examples:
        for example in examples:
            if part and (size + example.size > limit or len(part) == _IMAGES_AT_ONCE):
                yield part
                part, size = [], 0
            part.append(example)
            size += example.size
    if part:
        yield part


def _read_ahead(source: Source, numbers: Iterable[int]) -> Generator[Example]:
    left = iter(numbers)
    with ThreadPoolExecutor(_READERS, "read") as pool:
        ahead: deque[tuple[list[int], Future[list[Example]]]] = deque()

        def submit(block: list[int]) -> tuple[list[int], Future[list[Example]]]:
            return block, pool.submit(_read_block, source, block)

        while True:
            while len(ahead) < _READERS and (block := list(itertools.islice(left, _BLOCK))):
                ahead.append(submit(block))
            if not ahead:
                return
            block, reading = ahead.popleft()
            examples = reading.result()
            if len(examples) < len(block):
                ahead.appendleft(submit(block[len(examples) :]))
            yield from examples


def _read_block(source: Source, numbers: list[int]) -> list[Example]:
    """Reads the first of these examples, as many as `_BLOCK_BYTES` hold, and at least one."""
    examples: list[Example] = []
    size = 0
    for number in numbers:
        examples.append(_read(source, number))
        size += len(examples[-1].contents)
        if size > _BLOCK_BYTES:
            break
    return examples


def _read(source: Source, number: int) -> Example:
    contents, label = b"", -1
    try:
        images, labels = source.read(np.array([number]))
        contents, label = images[0], int(labels[0])
        height, width = image_size(contents, source.describe(number))
    except ImageError as error:
        return Example(number, contents, label, len(contents), error)
    return Example(number, contents, label, len(contents) + _BYTES_PER_PIXEL * height * width, None)
