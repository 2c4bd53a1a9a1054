"""Batches of images for training and evaluation, read and decoded by tf.data.

The examples of a run stand in one endless order: epoch `e` is a permutation of the training set
that depends on the seed and `e` alone, and the epochs follow each other without a gap. Step `s`
takes the next `batch_size` positions of that order, from `s * batch_size`. The random numbers that
augment an image depend on the seed and its position alone. So a run that resumes at any step sees,
at once and bit for bit, the batches it would have seen, on any number of hosts.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nasnet_jax.data.damage import refuse_damaged
from nasnet_jax.data.decoding import Tensor
from nasnet_jax.data.source import ArraySource, Source
from nasnet_jax.data.streaming import FileExamples, Finish, TooLargeError
from nasnet_jax.data.tensorflow_cpu import tf

Batch = dict[str, np.ndarray]
Augment = Callable[[Tensor, int, Tensor], Tensor]
"""(image, channels, int64 seed `[2]`) to float32 `[height, width, channels]`; as in `decoding`."""
Prepare = Callable[[Tensor, int], Tensor]
"""(image, channels) to float32 `[height, width, channels]`, with nothing random."""

Choose = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""From a step to the numbers of this host's examples in its batch, and one more number for each."""

_PARALLEL_READS = 2
"""Batches of an array read at once."""


def train_batches(
    source: Source,
    augment: Augment,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    host_index: int = 0,
    host_count: int = 1,
) -> Iterator[Batch]:
    """Yields this host's share of the batches of training, from a step on, without end.

    Args:
        source: The training images.
        augment: What is done to each image, for example
            `functools.partial(nasnet_jax.data.imagenet.train_image, size=224)`.
        batch_size: Examples in a batch on all hosts together.
        seed: Decides the order and the augmentation.
        start_step: The number of the first batch; 0 for a run from the start.
        host_index: Which of the hosts this is; it gets the examples from
            `host_index * batch_size / host_count` of each batch.
        host_count: Number of hosts.

    Yields:
        `image`: float32 `[batch_size / host_count, height, width, channels]`, and `label`: int32
        `[batch_size / host_count]`.

    Raises:
        ValueError: If the batch is larger than the data set or cannot be divided by the hosts.
    """
    share = _share(batch_size, host_index, host_count)
    if batch_size > len(source):
        raise ValueError(
            f"A batch of {batch_size} is larger than {source.name}, which has {len(source)} "
            "images. Make the batch smaller."
        )

    def choose(step: int) -> tuple[np.ndarray, np.ndarray]:
        positions = step * batch_size + share
        return _in_order(positions, len(source), seed), positions

    def finish(image: Tensor, label: Tensor, position: Tensor) -> dict[str, Tensor]:
        key = tf.stack([tf.constant(seed, tf.int64), position])
        return {"image": augment(image, source.channels, key), "label": label}

    steps = range(start_step, np.iinfo(np.int64).max)
    return _batches(source, steps, choose, tf.int64, finish)


def eval_batches(
    source: Source,
    prepare: Prepare,
    *,
    batch_size: int,
    host_index: int = 0,
    host_count: int = 1,
) -> Iterator[Batch]:
    """Yields this host's share of one pass over a source, every example exactly once.

    All hosts get equally many batches of equal size; the last ones are filled up with images whose
    mask is false.

    Args:
        source: The images.
        prepare: What is done to each image, for example
            `functools.partial(nasnet_jax.data.imagenet.eval_image, size=224)`.
        batch_size: Examples in a batch on all hosts together.
        host_index: Which of the hosts this is.
        host_count: Number of hosts.

    Yields:
        `image`: float32 `[batch_size / host_count, height, width, channels]`, `label`: int32
        `[batch_size / host_count]`, and `mask`: bool `[batch_size / host_count]`, false for
        padding.

    Raises:
        ValueError: If the batch cannot be divided by the hosts.
    """
    share = _share(batch_size, host_index, host_count)

    def choose(step: int) -> tuple[np.ndarray, np.ndarray]:
        positions = step * batch_size + share
        mask = positions < len(source)
        return np.where(mask, positions, 0), mask

    def finish(image: Tensor, label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {"image": prepare(image, source.channels), "label": label, "mask": mask}

    steps = range(-(-len(source) // batch_size))
    return _batches(source, steps, choose, tf.bool, finish)


def _share(batch_size: int, host_index: int, host_count: int) -> np.ndarray:
    """Returns the places in a batch that this host fills."""
    if batch_size < 1 or batch_size % host_count:
        raise ValueError(
            f"A batch of {batch_size} cannot be divided among {host_count} hosts; "
            "make it a multiple."
        )
    if not 0 <= host_index < host_count:
        raise ValueError(f"There is no host {host_index} among {host_count}; they count from 0.")
    local = batch_size // host_count
    return np.arange(host_index * local, (host_index + 1) * local)


def _in_order(positions: np.ndarray, num_examples: int, seed: int) -> np.ndarray:
    """Returns which examples stand at these positions of the endless order."""
    epochs, places = np.divmod(positions, num_examples)
    numbers = np.empty_like(positions)
    for epoch in np.unique(epochs).tolist():
        chosen = epochs == epoch
        numbers[chosen] = _permutation(num_examples, seed, epoch)[places[chosen]]
    return numbers


# Two epochs, as the batch between them needs both.
@functools.lru_cache(maxsize=2)
def _permutation(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def _batches(
    source: Source, steps: range, choose: Choose, extra_type: tf.DType, finish: Finish
) -> Iterator[Batch]:
    """Yields the batches of these steps; examples are finished in parallel, in order.

    Raises:
        ImageError: If an image cannot be decoded, by its name; as it is read ahead, maybe before the
            batch that it is in.
        OSError: If something cannot be read now.
    """
    size = len(choose(steps.start)[0])
    if isinstance(source, ArraySource):
        yield from _iterate(_array_examples(source, steps, choose, extra_type, finish), size)
        return
    step, parallel = steps.start, None
    while True:
        left = range(step, steps.stop)
        chosen = (zip(*map(np.ndarray.tolist, choose(one)), strict=True) for one in left)
        order = itertools.chain.from_iterable(chosen)
        examples = FileExamples(source, order, extra_type, finish, parallel=parallel)
        try:
            for batch in _iterate(examples.dataset, size):
                yield batch
                step += 1
            return
        except GeneratorExit:
            raise  # At the end of Python there is no TensorFlow left to ask for its errors.
        except tf.errors.OpError as error:
            if isinstance(examples.failure, TooLargeError):
                parallel = examples.failure.parallel
            elif examples.failure is not None:
                raise examples.failure from error
            else:
                refuse_damaged(source, choose(step)[0].tolist())
                raise


def _iterate(examples: Any, size: int) -> Iterator[Batch]:
    return examples.batch(size, drop_remainder=True).prefetch(tf.data.AUTOTUNE).as_numpy_iterator()


def _array_examples(
    source: ArraySource, steps: range, choose: Choose, extra_type: tf.DType, finish: Finish
) -> Any:
    """Returns the tf.data set of examples of an array."""

    def read(step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        numbers, extras = choose(int(step))
        return *source.read(numbers), extras

    def read_tensors(step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        image, label, extra = tf.numpy_function(read, [step], [tf.uint8, tf.int32, extra_type])
        # Shapes are lost in NumPy functions; a known size of the images saves a resize.
        image.set_shape([None, *source.images.shape[1:]])
        label.set_shape([None])
        extra.set_shape([None])
        return image, label, extra

    numbers = tf.data.Dataset.range(steps.start, steps.stop)
    examples = numbers.map(read_tensors, num_parallel_calls=_PARALLEL_READS).unbatch()
    return examples.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
