"""Examples whose images are files, as a set of tf.data that takes a bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from nasnet_jax.cores import usable_cores
from nasnet_jax.data.decoding import Tensor
from nasnet_jax.data.reading import bytes_at_once, read_parts
from nasnet_jax.data.source import Source
from nasnet_jax.data.tensorflow_cpu import tf

Finish = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]
"""What is done to an image, its label and one more number."""


class TooLargeError(Exception):
    """So many images as large as this one must not be decoded at a time.

    Attributes:
        parallel: How many may.
    """

    def __init__(self, parallel: int) -> None:
        super().__init__(f"{parallel} images at a time")
        self.parallel = parallel


class FileExamples:
    """Examples in an order, several of them finished at a time.

    Args:
        source: Where they are.
        order: Numbers in `source`, with one more number for each; may be without end.
        extra_type: TensorFlow's type of the latter.
        finish: What is done to each.
        parallel: How many are finished at a time; by default one on each core.

    Attributes:
        dataset: The set of tf.data.
        failure: Why it cannot go on, if so; tf.data makes long texts of its own of such errors. An
            ImageError, an OSError, or a TooLargeError: then it can, with fewer at a time.
    """

    def __init__(
        self,
        source: Source,
        order: Iterable[tuple[int, Any]],
        extra_type: tf.DType,
        finish: Finish,
        *,
        parallel: int | None = None,
    ) -> None:
        self.failure: Exception | None = None
        parallel = parallel or usable_cores()
        kind = extra_type.as_numpy_dtype
        parts = _columns(source, order, kind, parallel)
        end = (np.empty(0, object), np.empty(0, np.int32), np.empty(0, kind))

        def read() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            try:
                return next(parts, end)
            except Exception as error:
                self.failure = error
                raise

        # Not a generator of tf.data's, which takes longer to copy contents than they to decode.
        def read_tensors(_: Tensor) -> list[Tensor]:
            columns = tf.numpy_function(read, [], [tf.string, tf.int32, extra_type])
            return [tf.ensure_shape(column, [None]) for column in columns]

        read_ones = tf.data.Dataset.range(np.iinfo(np.int64).max).map(read_tensors)
        read_ones = read_ones.take_while(lambda images, *_: tf.size(images) > 0)
        self.dataset = read_ones.unbatch().map(finish, num_parallel_calls=parallel)


def _columns(
    source: Source, order: Iterable[tuple[int, Any]], kind: Any, parallel: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields parts as arrays: contents, labels and the further numbers."""
    limit = bytes_at_once()
    ours, theirs = itertools.tee(order)
    for part in read_parts(source, (number for number, _ in ours)):
        for example in part:
            if example.error is not None:
                raise example.error
        largest = max(example.size for example in part)
        if parallel > 1 and parallel * largest > limit:
            # At most half as many, so that it is seldom that all begins anew.
            raise TooLargeError(max(1, min(parallel // 2, limit // largest)))
        yield (
            np.array([example.contents for example in part], object),
            np.array([example.label for example in part], np.int32),
            np.array([extra for _, extra in itertools.islice(theirs, len(part))], kind),
        )
