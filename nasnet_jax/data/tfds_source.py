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

from nasnet_jax.data.records import RecordReader, open_records
from nasnet_jax.data.tensorflow_cpu import tf

# Loaded after TensorFlow's settings.
import tensorflow_datasets as tfds  # noqa: E402, I001 isort: skip

_UNLABELLED_TEST = ("imagenet2012",)
"""Data sets whose split `test` has no labels, so that networks are tested on `validation`."""


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsSource:
    """One split of a TFDS data set, as TFDS wrote it.

    Attributes:
        name: What to call it in messages.
        reader: The serialized examples.
        class_names: The name of each label.
        channels: Channels of the decoded images.
        image_feature: The name of the image in an example.
        label_feature: The name of the label in an example.
        facts: What `identity` says.
    """

    name: str
    reader: RecordReader
    class_names: tuple[str, ...]
    channels: int
    image_feature: str
    label_feature: str
    facts: dict[str, Any]
    encoded: bool = dataclasses.field(default=True, init=False)

    def __len__(self) -> int:
        return len(self.reader)

    def read(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the encoded images, `[n]` bytes, and their labels, `[n]` int32."""
        images = np.empty(len(numbers), dtype=object)
        labels = np.empty(len(numbers), dtype=np.int32)
        for place, record in enumerate(self.reader.__getitems__(numbers.tolist())):
            feature = tf.train.Example.FromString(record).features.feature
            images[place] = feature[self.image_feature].bytes_list.value[0]
            labels[place] = feature[self.label_feature].int64_list.value[0]
        return images, labels

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
        test_split: The split to test on. By default `test` where it exists (and has labels), else
            `validation`.

    Returns:
        The split `train` and the test split.

    Raises:
        ValueError: If TFDS does not know the name or the data set is not for image classification.
        FileNotFoundError: If it is not prepared and could not be.
    """
    builder = _find(name, data_dir)
    if not builder.is_prepared():
        _prepare(builder, name)
    image_feature, label_feature = _features(builder, name)
    splits = builder.info.splits
    if test_split is None:
        unlabelled = builder.name in _UNLABELLED_TEST
        candidates = ("validation",) if unlabelled else ("test", "validation")
        test_split = next((split for split in candidates if split in splits), "test")
    for split in ("train", test_split):
        if split not in splits:
            raise ValueError(
                f"TFDS data set {name!r} has no split {split!r}; it has {sorted(splits)}. Set "
                "dataset.test_split to the one to test on."
            )
    sources = []
    for split in ("train", test_split):
        paths = [os.fspath(path) for path in splits[split].filepaths]
        reader = open_records(paths, builder.info.file_format.value)
        if len(reader) != splits[split].num_examples:
            raise ValueError(
                f"Split {split!r} of TFDS data set {name!r} should have "
                f"{splits[split].num_examples} examples, but its files in {builder.data_dir!r} "
                f"hold {len(reader)}. Prepare or copy it again."
            )
        sources.append(
            TfdsSource(
                name=f"{name} ({split})",
                reader=reader,
                class_names=tuple(builder.info.features[label_feature].names),
                channels=builder.info.features[image_feature].shape[-1],
                image_feature=image_feature,
                label_feature=label_feature,
                facts={
                    "dataset": builder.info.full_name,
                    "split": split,
                    "bytes": splits[split].num_bytes,
                    "shards": _hash(splits[split].shard_lengths),
                },
            )
        )
    return sources[0], sources[1]


def _hash(numbers: Sequence[int]) -> str:
    return hashlib.sha256(repr(list(numbers)).encode()).hexdigest()


def _find(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    """Returns TFDS's builder of this name."""
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"There is no data set {name!r}.{hint} The name is 'digits', 'fake', 'folder:PATH' "
            "(own images, one folder a class), 'arrays:FILE' (own arrays), or that of a TFDS data "
            "set such as 'cifar10'; one of your own is found if dataset.data_dir names the folder "
            "where it was prepared."
        ) from error


def _prepare(builder: Any, name: str) -> None:
    """Downloads and prepares a data set."""
    root = builder.data_dir_root
    advice = (
        f"To prepare it where there is a network: `tfds build {name} --data_dir=DIR`; then copy "
        "DIR to this machine and set dataset.data_dir to it."
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
