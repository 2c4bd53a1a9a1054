"""What a training reads: its images, how they are prepared, and their way onto the devices."""

from __future__ import annotations

import dataclasses
import functools
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from types import TracebackType
from typing import Any

import jax
import ml_collections
import numpy as np

from nasnet_jax.data import ArraySource, Source, cifar, imagenet, load_arrays, open_sources
from nasnet_jax.data.damage import leave_out_damaged
from nasnet_jax.data.dataset import DifferentSizesError
from nasnet_jax.data.fingerprint import fingerprint
from nasnet_jax.data.pipeline import Augment, Batch, Prepare, eval_batches, train_batches
from nasnet_jax.data.remaining import advising_to_skip
from nasnet_jax.inference.preprocessing import Preprocessing

_AHEAD = 2
"""Batches that wait on the devices."""
_POLL_SECONDS = 0.002


@dataclasses.dataclass(frozen=True)
class TrainingInput:
    """The images of a training and how they are prepared.

    Attributes:
        train: The training images.
        test: The test images.
        augment: What is done to each training image.
        prepare: What is done to each test image.
        preprocessing: The same as `prepare`, as a saved model describes it.
        fingerprint: Of the data set (`nasnet_jax.data.fingerprint`).
        left_out: What is wrong with each image that was left out, a line that begins with its name.
    """

    train: Source
    test: Source
    augment: Augment
    prepare: Prepare
    preprocessing: Preprocessing
    fingerprint: Mapping[str, Any]
    left_out: tuple[str, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return self.train.class_names

    def scaled_as(self, other: Preprocessing) -> TrainingInput:
        """The same images on the scale that `other` brings pixels to; of as many channels."""
        ours = self.preprocessing
        if (ours.mean, ours.std) == (other.mean, other.std):
            return self
        factor = np.divide(ours.std, other.std, dtype=np.float32)
        offset = np.divide(np.subtract(ours.mean, other.mean), other.std, dtype=np.float32)

        def augment(image: Any, channels: int, seed: Any) -> Any:
            return self.augment(image, channels, seed) * factor + offset

        def prepare(image: Any, channels: int) -> Any:
            return self.prepare(image, channels) * factor + offset

        preprocessing = dataclasses.replace(ours, mean=other.mean, std=other.std)
        return dataclasses.replace(
            self, augment=augment, prepare=prepare, preprocessing=preprocessing
        )

    def steps_per_epoch(self, batch_size: int) -> float:
        """Training examples by batch size, which need not be a whole number."""
        return len(self.train) / batch_size

    def test_batches(self, batch_size: int) -> Iterator[Batch]:
        """This process's share of one pass over the test images; see `eval_batches`."""
        with advising_to_skip():
            yield from eval_batches(
                self.test,
                self.prepare,
                batch_size=batch_size,
                host_index=jax.process_index(),
                host_count=jax.process_count(),
            )

    def train_batches(
        self, config: ml_collections.ConfigDict, *, start_step: int
    ) -> Generator[Batch]:
        """This process's share of the batches from a step on, without end.

        Yields:
            `image`: float32 `[accumulation_steps, examples, height, width, channels]`, and `label`:
            int32 `[accumulation_steps, examples]`. Part `i` of step `s` has the examples that a
            batch as small as the part would have at step `s * accumulation_steps + i`.
        """
        parts = config.accumulation_steps
        batches = train_batches(
            self.train,
            self.augment,
            batch_size=config.batch_size // parts,
            seed=config.seed,
            start_step=start_step * parts,
            host_index=jax.process_index(),
            host_count=jax.process_count(),
        )
        while True:
            with advising_to_skip():
                taken = [next(batches) for _ in range(parts)]
            # Without a copy where there is one part.
            yield {
                name: taken[0][name][np.newaxis]
                if parts == 1
                else np.stack([batch[name] for batch in taken])
                for name in taken[0]
            }


def open_input(
    config: ml_collections.ConfigDict,
    *,
    check: Callable[[Mapping[str, Any]], None] = lambda fingerprint: None,
) -> TrainingInput:
    """Opens the data set of a training.

    Args:
        config: Of the training.
        check: Called with the fingerprint, before the data are held against the configuration.

    Raises:
        ValueError: If there is no such data set, or it is not what the configuration says.
        FileNotFoundError: If its files are missing and cannot be had.
    """
    options = config.dataset
    arguments = {
        "data_dir": options.data_dir,
        "test_split": options.test_split,
        "skip_damaged": options.skip_damaged,
    }
    if options.in_memory:
        size = options.image_size if options.preparation == "cifar" else None
        try:
            with advising_to_skip():
                dataset = load_arrays(options.name, image_size=size, **arguments)
        except DifferentSizesError as error:
            raise ValueError(
                f"{error} Set dataset.in_memory=False: they are read when they are needed."
            ) from error
        names, of_data, left_out = dataset.class_names, dataset.fingerprint, dataset.left_out
        train: Source = ArraySource(
            f"{options.name} (train)", dataset.train_images, dataset.train_labels, names
        )
        test: Source = ArraySource(
            f"{options.name} (test)", dataset.test_images, dataset.test_labels, names
        )
    else:
        train, test = open_sources(options.name, **arguments)
        left_out = ()
        if options.skip_damaged:
            (train, of_train), (test, of_test) = map(leave_out_damaged, (train, test))
            left_out = of_train + of_test
        of_data = fingerprint(train, test)
    check(of_data)
    for field, found in (
        ("num_classes", len(train.class_names)),
        ("channels", train.channels),
    ):
        if found != options[field]:
            raise ValueError(
                f"dataset.{field} is {options[field]}, but {train.name} has {found}. Set "
                f"dataset.{field}={found}."
            )
    if config.batch_size > len(train):
        raise ValueError(
            f"batch_size is {config.batch_size}, but data set {options.name!r} has only {len(train)} "
            "training images."
        )
    square = (options.image_size, options.image_size)
    if options.preparation == "cifar":
        augment: Augment = functools.partial(
            cifar.train_image,
            size=options.image_size,
            padding=config.augment.crop_padding,
            flip=config.augment.flip,
            cutout=config.augment.cutout,
        )
        preprocessing = Preprocessing.cifar(square, options.channels)
    else:
        augment = functools.partial(
            imagenet.train_image,
            size=options.image_size,
            flip=config.augment.flip,
            colour=config.augment.colour,
        )
        preprocessing = Preprocessing.imagenet(square, options.channels)
    return TrainingInput(
        train, test, augment, preparation(preprocessing), preprocessing, of_data, left_out
    )


def preparation(preprocessing: Preprocessing) -> Prepare:
    """The function of a tf.data pipeline that does what a saved model's pre-processing does."""
    height, width = preprocessing.image_size
    if height == width:
        known = {
            Preprocessing.cifar((height, width), preprocessing.channels): cifar.eval_image,
            Preprocessing.imagenet((height, width), preprocessing.channels): imagenet.eval_image,
        }
        if preprocessing in known:
            return functools.partial(known[preprocessing], size=height)
    from nasnet_jax.data import decoding
    from nasnet_jax.data.tensorflow_cpu import tf

    def prepare(image: Any, channels: int) -> Any:
        decoded = decoding.decode(image, channels)
        prepared = tf.numpy_function(preprocessing.apply, [decoded], tf.float32)
        return tf.ensure_shape(prepared, [height, width, channels])

    return prepare


class DeviceFeed:
    """Brings batches onto the devices in a thread of its own, ahead of the training.

    Used as a context manager, which ends the thread. It measures how long the devices had nothing
    to do because no batch was there.
    """

    def __init__(
        self, batches: Generator[Batch], put: Callable[[Batch], dict[str, jax.Array]]
    ) -> None:
        self.seconds_waited = 0.0
        self._batches = batches
        self._put = put
        self._ready: queue.Queue[dict[str, jax.Array] | Exception] = queue.Queue(_AHEAD)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="input", daemon=True)

    def __enter__(self) -> DeviceFeed:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        # Or what reads ahead would do so until it is forgotten, if need be past the end of Python.
        self._batches.close()

    def _fill(self) -> None:
        try:
            for batch in self._batches:
                if not self._offer(self._put(batch)):
                    return
        # Whatever goes wrong is raised where the batch is asked for.
        except Exception as error:  # noqa: BLE001
            self._offer(error)

    def _offer(self, item: dict[str, jax.Array] | Exception) -> bool:
        """Waits for a place in the queue; returns whether the feed is still wanted."""
        while not self._ended.is_set():
            try:
                self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def next(self, working: Any) -> dict[str, jax.Array]:
        """Returns the next batch.

        Args:
            working: A `jax.Array` that the devices are computing, or None (`is_ready` is missing in
                the array's type); while they compute, waiting costs nothing and is not counted.
        """
        waited_from = time.perf_counter()
        while True:
            try:
                item = self._ready.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if working is not None and not working.is_ready():
                    waited_from = time.perf_counter()
                continue
            if working is None or working.is_ready():
                self.seconds_waited += time.perf_counter() - waited_from
            if isinstance(item, Exception):
                raise item
            return item
