"""Data sets that need no files: scikit-learn's digits, and made-up images."""

from __future__ import annotations

import dataclasses

import numpy as np

from nasnet_jax.data.dataset import Dataset
from nasnet_jax.memory import check_fits

_DIGITS_TEST = 360
"""A fifth of the 1,797 digits."""


def load_digits() -> Dataset:
    """Loads the 1,797 handwritten digits of 8x8 pixels that scikit-learn ships (from UCI).

    One channel, grey values 0 to 16 scaled to 0 to 255. They have no official test set: a fifth of
    each class, 360 images, is drawn once and for all.
    """
    # Imported here because scikit-learn takes a second that no other data set needs.
    from sklearn import datasets, model_selection

    digits = datasets.load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    train_images, test_images, train_labels, test_labels = model_selection.train_test_split(
        images,
        digits.target.astype(np.int32),
        test_size=_DIGITS_TEST,
        stratify=digits.target,
        random_state=0,
    )
    return Dataset(
        name="digits",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=tuple(str(digit) for digit in range(10)),
    )


@dataclasses.dataclass(frozen=True)
class FakeSpec:
    """How many images `fake` makes up, and of what.

    Attributes:
        num_train: Number of training images.
        num_test: Number of test images.
        num_classes: Number of classes; every class gets equally many images, give or take one.
        image_size: Height and width in pixels.
        channels: Number of channels.
        seed: Equal seeds give equal images.
    """

    num_train: int = 50_000
    num_test: int = 10_000
    num_classes: int = 10
    image_size: int = 32
    channels: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for field in ("num_train", "num_test", "num_classes", "image_size", "channels"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"Fake data with {field}={getattr(self, field)}: it must be at least 1."
                )


def make_fake(spec: FakeSpec) -> Dataset:
    """Makes up images for measuring speed and for tests; nothing can be concluded from accuracies.

    The images of a class are one coarse pattern of 4x4 random colours under strong noise, so that
    they can be learnt, and quickly: an average over the noise separates the classes.
    """
    check_fits(
        (spec.num_train + spec.num_test) * spec.image_size**2 * spec.channels,
        "The made-up images",
        "a smaller dataset.fake.num_train, num_test or image_size",
    )
    rng = np.random.default_rng(spec.seed)
    coarse = rng.normal(size=(spec.num_classes, 4, 4, spec.channels))
    # Nearest neighbours, whatever the size of the image.
    pixels = np.arange(spec.image_size) * 4 // spec.image_size
    patterns = (64 + 20 * coarse[:, pixels][:, :, pixels]).astype(np.int16)

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.permutation(np.arange(number, dtype=np.int32) % spec.num_classes)
        images = np.empty((number, *patterns.shape[1:]), np.uint8)
        # In parts, so that the sums of two bytes do not take twice the memory of the result.
        for start in range(0, number, 4096):
            part = patterns[labels[start : start + 4096]]
            noise = rng.integers(0, 128, part.shape, dtype=np.uint8)
            images[start : start + 4096] = np.clip(part + noise, 0, 255)
        return images, labels

    train_images, train_labels = draw(spec.num_train)
    test_images, test_labels = draw(spec.num_test)
    return Dataset(
        name="fake",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=tuple(f"class {number}" for number in range(spec.num_classes)),
    )
