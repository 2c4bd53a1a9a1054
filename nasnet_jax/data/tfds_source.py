"""Image classification data sets of TensorFlow Datasets (TFDS), by name.

The examples are read by number from the files that TFDS prepared, not through `tfds.load`: only
then can the order of any epoch be started at any place, which exact resumption needs.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
import socket
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from google.protobuf.message import DecodeError

from nasnet_jax.data.image_file import ImageError
from nasnet_jax.data.records import RecordReader, open_records
from nasnet_jax.data.tensorflow_cpu import tf
from nasnet_jax.data.tfds_splits import SplitPart, split_part
from nasnet_jax.paths import with_home

# Loaded after TensorFlow's settings.
import tensorflow_datasets as tfds  # noqa: E402, I001 isort: skip

_UNLABELLED_TEST = ("imagenet2012",)
"""Data sets whose split `test` has no labels, so that networks are tested on `validation`."""
_TRAIN = "train"
_TEST_PART = f"{_TRAIN}[80%:]"
"""What to test on where all examples are in one split."""


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsSource:
    """Examples of one split of a TFDS data set, as TFDS wrote them.

    Attributes:
        name: What to call it in messages.
        reader: The serialized examples of the whole split.
        numbers: int64, of these examples within the split.
        class_names: The name of each label.
        channels: Channels of the decoded images.
        image_feature: The name of the image in an example.
        label_feature: The name of the label in an example.
        facts: What `identity` says.
    """

    name: str
    reader: RecordReader
    numbers: np.ndarray
    class_names: tuple[str, ...]
    channels: int
    image_feature: str
    label_feature: str
    facts: dict[str, Any]
    encoded: bool = dataclasses.field(default=True, init=False)

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the encoded images, `[n]` bytes, and their labels, `[n]` int32."""
        images = np.empty(len(numbers), dtype=object)
        labels = np.empty(len(numbers), dtype=np.int32)
        records = self.reader.__getitems__(self.numbers[numbers].tolist())
        for place, record in enumerate(records):
            try:
                feature = tf.train.Example.FromString(record).features.feature
                images[place] = feature[self.image_feature].bytes_list.value[0]
                labels[place] = feature[self.label_feature].int64_list.value[0]
            except (DecodeError, IndexError) as error:
                raise ImageError(
                    f"{self.describe(int(numbers[place]))} stands in a damaged record: prepare or copy "
                    "the data set again."
                ) from error
        return images, labels

    def describe(self, number: int) -> str:
        """Its number."""
        return f"Image {number} of {self.name}"

    def identity(self) -> dict[str, Any]:
        """The data set's name with its version, the split, and what TFDS noted of its size."""
        return self.facts


def open_tfds(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, test_split: str | None = None
) -> tuple[TfdsSource, TfdsSource]:
    """Opens a TFDS data set, preparing it first where it is not.

    Args:
        name: As TFDS names it: `cifar10`, `imagenette/160px-v2`, `my_data:1.0.0`.
        data_dir: The folder of prepared data sets; TFDS's own default if `None`.
        test_split: The split to test on, or a part of one as TFDS writes it: `train[80%:]`. By
            default `test` where it exists (and has labels), else `validation`, else the last fifth
            of `train`.

    Returns:
        The examples of `train` that are not to test on, and those to test on.

    Raises:
        ValueError: If TFDS does not know the name, the data set is not for image classification, or
            it has no such split.
        FileNotFoundError: If it is not prepared and could not be.
    """
    data = _Prepared(name, data_dir)
    test_split = test_split or data.default_test_split()
    test = data.part(test_split)
    train = data.part(_TRAIN).without(test)
    if not len(train.numbers):
        raise ValueError(
            f"If {test_split!r} of TFDS data set {name!r} is to test on, nothing is left to train on. "
            f"Test on a part, such as {_TEST_PART!r}; the rest is trained on."
        )
    used = _TRAIN if test.split != _TRAIN else f"{_TRAIN} without {test_split}"
    return data.source(train, used), data.source(test, test_split)


def open_tfds_test(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, split: str | None = None
) -> TfdsSource:
    """Opens the test images alone, which may be any.

    Args:
        name: As for `open_tfds`.
        data_dir: As for `open_tfds`.
        split: As `test_split` for `open_tfds`, or `train` itself.

    Raises:
        ValueError: As for `open_tfds`.
        FileNotFoundError: As for `open_tfds`.
    """
    data = _Prepared(name, data_dir)
    split = split or data.default_test_split()
    return data.source(data.part(split), split)


class _Prepared:
    """A data set of TFDS whose files are there."""

    def __init__(self, name: str, data_dir: str | os.PathLike[str] | None) -> None:
        self._name = name
        self._builder = _find(name, data_dir)
        if not self._builder.is_prepared():
            _prepare(self._builder, name)
        self._info = self._builder.info
        self._image, self._label = _features(self._builder, name)
        self._readers: dict[str, RecordReader] = {}

    def default_test_split(self) -> str:
        """The split to test on if none is named."""
        unlabelled = self._builder.name in _UNLABELLED_TEST
        for split in ("validation",) if unlabelled else ("test", "validation"):
            if split in self._info.splits:
                return split
        if list(self._info.splits) != [_TRAIN] or self._info.disable_shuffling:
            raise ValueError(
                f"TFDS data set {self._name!r} has no split 'test' or 'validation'; it has "
                f"{sorted(self._info.splits)}. Name a split to test on, or a part of one, such as "
                f"{_TEST_PART!r}."
            )
        # In an order that TFDS shuffled.
        logging.warning(
            "TFDS data set %r has no split but %r; its last fifth, %r, is what is tested on.",
            self._name,
            _TRAIN,
            _TEST_PART,
        )
        return _TEST_PART

    def part(self, text: str) -> SplitPart:
        """Reads what TFDS calls a split."""
        try:
            return split_part(text, self._info.splits)
        except ValueError as error:
            raise ValueError(f"TFDS data set {self._name!r}: {error}") from error

    def source(self, part: SplitPart, text: str) -> TfdsSource:
        """Opens the files of a part, which is called as the text says."""
        split, features = self._info.splits[part.split], self._info.features
        source = TfdsSource(
            name=f"{self._name} ({text})",
            reader=self._reader(part.split),
            numbers=part.numbers,
            class_names=tuple(features[self._label].names),
            # Transparency, a fourth channel, is dropped like that of a file.
            channels=1 if features[self._image].shape[-1] == 1 else 3,
            image_feature=self._image,
            label_feature=self._label,
            facts={
                "dataset": self._info.full_name,
                "split": text,
                "bytes": split.num_bytes,
                "shards": _hash(split.shard_lengths),
            },
        )
        if source.read(np.zeros(1, np.int64))[1][0] < 0:
            raise ValueError(
                f"The images of {source.name} have no labels (TFDS marks that by -1). Name a split "
                "that has."
            )
        return source

    def _reader(self, split: str) -> RecordReader:
        if split in self._readers:
            return self._readers[split]
        info = self._info.splits[split]
        paths = [os.fspath(path) for path in info.filepaths]
        reader = open_records(paths, self._info.file_format.value)
        if len(reader) != info.num_examples:
            raise ValueError(
                f"Split {split!r} of TFDS data set {self._name!r} should have "
                f"{info.num_examples} examples, but its files in {self._builder.data_dir!r} "
                f"hold {len(reader)}. Prepare or copy it again."
            )
        self._readers[split] = reader
        return reader


def _hash(numbers: Sequence[int]) -> str:
    return hashlib.sha256(repr(list(numbers)).encode()).hexdigest()


def _find(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    """Returns TFDS's builder of this name."""
    try:
        return tfds.builder(name, data_dir=data_dir and with_home(data_dir))
    except tfds.core.registered.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"There is no data set {name!r}.{hint} The name is 'digits', 'fake', 'folder:PATH' "
            "(own images, one folder a class), 'arrays:FILE' (own arrays), or that of a TFDS data "
            "set such as 'cifar10'; one of your own is found if data_dir names the folder where it was "
            "prepared."
        ) from error


def _prepare(builder: Any, name: str) -> None:
    """Downloads and prepares a data set."""
    root = builder.data_dir_root
    advice = (
        f"To prepare it where there is a network: `tfds build {name} --data_dir=DIR`; then copy "
        "DIR to this machine and give it as data_dir."
    )
    missing = f"TFDS data set {name!r} is not prepared in {str(root)!r}"
    downloads = Path(root) / "downloads"
    # TFDS would try for minutes. What was downloaded before can be prepared without a network.
    if not downloads.is_dir() and builder.MANUAL_DOWNLOAD_INSTRUCTIONS is None and _is_offline():
        raise FileNotFoundError(f"{missing}, and this machine has no network. {advice}")
    logging.info("%s; downloading it now.", missing)
    try:
        builder.download_and_prepare()
    # Whatever went wrong, in any of the many libraries that a data set may use, the advice is the
    # same.
    except Exception as error:
        raise FileNotFoundError(
            f"{missing}, and preparing it failed ({type(error).__name__}: {error}). {advice}"
        ) from error


def _is_offline() -> bool:
    """Tells whether names cannot be looked up, where no proxy would do that."""
    if urllib.request.getproxies():
        return False
    try:
        socket.getaddrinfo("storage.googleapis.com", 443)
    except OSError:
        return True
    return False


def _features(builder: Any, name: str) -> tuple[str, str]:
    """Returns the names of an example's image and label: the only ones, or TFDS's supervised keys."""
    features = builder.info.features
    keys = builder.info.supervised_keys or features.keys()
    images = [key for key in keys if isinstance(features[key], tfds.features.Image)]
    labels = [key for key in keys if isinstance(features[key], tfds.features.ClassLabel)]
    if len(images) != 1 or len(labels) != 1:
        raise ValueError(
            f"TFDS data set {name!r} is not for image classification: an example needs one image and "
            f"one class label, and this one has the images {images} and the labels {labels}."
        )
    return images[0], labels[0]
