"""Small data sets on disk, made with TensorFlow and TFDS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def make_images(number: int, size: tuple[int, int] = (12, 16), seed: int = 0) -> np.ndarray:
    """Returns `[number, height, width, 3]` random uint8 images."""
    shape = (number, *size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture(scope="session")
def png_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with classes `cat` (10 images of 12x16) and `dog` (6), named by their number."""
    from nasnet_jax.data.tensorflow_cpu import tf

    root = tmp_path_factory.mktemp("png")
    for name, number, seed in (("cat", 10, 1), ("dog", 6, 2)):
        (root / name).mkdir()
        for place, image in enumerate(make_images(number, seed=seed)):
            tf.io.write_file(str(root / name / f"{place}.png"), tf.io.encode_png(image))
    return root


@pytest.fixture(scope="session")
def tfds_images() -> np.ndarray:
    """The training images of `tfds_dir`'s data sets, in an order of their own."""
    return make_images(23, size=(10, 10), seed=3)


@pytest.fixture(scope="session")
def tfds_dir(tmp_path_factory: pytest.TempPathFactory, tfds_images: np.ndarray) -> Path:
    """Prepared TFDS data sets.

    `tfrecords` and `arrayrecords` have 23 train and 7 validation images, whose label is the parity
    of the first value of their first pixel; `only_train` and `in_order` have the training images
    alone, the latter as they were given; those of `unlabelled` to test on have no labels.
    """
    from nasnet_jax.data.tensorflow_cpu import tf  # noqa: F401, I001
    import tensorflow_datasets as tfds

    root = tmp_path_factory.mktemp("tfds")
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["even", "odd"]),
        }
    )
    splits = {
        split: [
            (number, {"image": image, "label": int(image[0, 0, 0] % 2)})
            for number, image in enumerate(images)
        ]
        for split, images in (
            ("train", tfds_images),
            ("validation", make_images(7, size=(10, 10), seed=4)),
        )
    }
    train = {"train": splits["train"]}
    unlabelled = [(key, {**example, "label": -1}) for key, example in splits["validation"]]
    for name, file_format, content in (
        ("tfrecords", "tfrecord", splits),
        ("arrayrecords", "array_record", splits),
        ("only_train", "tfrecord", train),
        ("in_order", "tfrecord", train),
        ("unlabelled", "tfrecord", {**train, "test": unlabelled}),
    ):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=features,
            split_datasets=content,
            data_dir=root,
            file_format=file_format,
            disable_shuffling=name == "in_order",
        )
    return root
