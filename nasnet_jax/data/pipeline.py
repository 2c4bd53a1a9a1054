"""Batches of images for training and evaluation, read and decoded by tf.data.

The examples of a run stand in one endless order: epoch `e` is a permutation of the training set
that depends on the seed and `e` alone, and the epochs follow each other without a gap. Step `s`
takes the next `batch_size` positions of that order, from `s * batch_size`. The random numbers that
augment an image depend on the seed and its position alone. So a run that resumes at any step sees,
at once and bit for bit, the batches it would have seen, on any number of hosts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nasnet_jax.data import decoding
from nasnet_jax.data.decoding import Tensor
from nasnet_jax.data.source import ArraySource, Source
from nasnet_jax.data.tensorflow_cpu import tf

Batch = dict[str, np.ndarray]
Augment = Callable[[Tensor, int, Tensor], Tensor]
"""(image, channels, int64 seed `[2]`) to float32 `[height, width, channels]`; as in `decoding`."""
Prepare = Callable[[Tensor, int], Tensor]
"""(image, channels) to float32 `[height, width, channels]`, with nothing random."""

_PARALLEL_READS = 2
"""Batches read at once, so that one is read while the other waits for a slow disk."""
_READ_AT_ONCE = 256


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

    def read(step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        positions = int(step) * batch_size + share
        return *source.read(_in_order(positions, len(source), seed)), positions

    def finish(image: Tensor, label: Tensor, position: Tensor) -> dict[str, Tensor]:
        key = tf.stack([tf.constant(seed, tf.int64), position])
        return {"image": augment(image, source.channels, key), "label": label}

    steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
    return _batches(_examples(source, steps, read, tf.int64), finish, len(share))


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

    def read(step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        positions = int(step) * batch_size + share
        mask = positions < len(source)
        return *source.read(np.where(mask, positions, 0)), mask

    def finish(image: Tensor, label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {"image": prepare(image, source.channels), "label": label, "mask": mask}

    steps = tf.data.Dataset.range(-(-len(source) // batch_size))
    return _batches(_examples(source, steps, read, tf.bool), finish, len(share))


def decoded_images(source: Source, image_size: int | None) -> Iterator[tuple[np.ndarray, np.int32]]:
    """Yields all examples of a source in order, decoded.

    Args:
        source: The images.
        image_size: Height and width to which they are brought (`decoding.resize_square`), or
            `None`.

    Yields:
        An image, uint8 `[height, width, channels]`, and its label.

    Raises:
        ValueError: If an image cannot be decoded.
    """

    def read(start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        numbers = np.arange(int(start), min(int(start) + _READ_AT_ONCE, len(source)))
        return *source.read(numbers), numbers

    def finish(image: Tensor, label: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        image = decoding.decode(image, source.channels)
        return (decoding.resize_square(image, image_size) if image_size else image), label

    starts = tf.data.Dataset.range(0, len(source), _READ_AT_ONCE)
    examples = _examples(source, starts, read, tf.int64).map(finish, tf.data.AUTOTUNE)
    number = 0
    try:
        for example in examples.as_numpy_iterator():
            yield example
            number += 1
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"Image {number} of {source.name} cannot be decoded; it is damaged or of an unknown "
            f"format. TensorFlow says: {error.message.splitlines()[0]}"
        ) from error


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


def _examples(
    source: Source,
    steps: Any,
    read: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]],
    extra_type: Any,
) -> Any:
    """Returns the tf.data set of single examples that `read` returns for each step in turn.

    Args:
        source: Where `read` reads; tells the types.
        steps: A tf.data set of int64 numbers.
        read: From a number to several images, labels and one more number for each.
        extra_type: TensorFlow's type of the last.
    """
    image_type = tf.string if source.encoded else tf.uint8
    # Shapes are lost in NumPy functions; a known size of the images saves a resize.
    image_shape = list(source.images.shape[1:]) if isinstance(source, ArraySource) else []

    def read_tensors(step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        image, label, extra = tf.numpy_function(read, [step], [image_type, tf.int32, extra_type])
        image.set_shape([None, *image_shape])
        label.set_shape([None])
        extra.set_shape([None])
        return image, label, extra

    return steps.map(read_tensors, num_parallel_calls=_PARALLEL_READS).unbatch()


def _batches(
    examples: Any, finish: Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]], size: int
) -> Iterator[Batch]:
    """Finishes examples in parallel, in order, and batches them."""
    finished = examples.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
    batches = finished.batch(size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    return batches.as_numpy_iterator()
