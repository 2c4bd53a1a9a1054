from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasnet_jax.data.dataset import Dataset


def arguments(**changed: Any) -> dict[str, Any]:
    images, labels = np.zeros((3, 4, 5, 1), np.uint8), np.array([0, 1, 1], np.int32)
    return {
        "name": "mine",
        "train_images": images,
        "train_labels": labels,
        "test_images": images,
        "test_labels": labels,
        "class_names": ("cat", "dog"),
    } | changed


def test_shape_and_classes() -> None:
    dataset = Dataset(**arguments())
    assert dataset.image_shape == (4, 5, 1)
    assert dataset.num_classes == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"class_names": ("cat",)}, "are of 1 class"),
        ({"train_images": np.zeros((3, 4, 5, 1))}, "train images .* must be uint8 .* not float64"),
        ({"test_images": np.zeros((3, 4, 5), np.uint8)}, r"test images .* not uint8 \[3, 4, 5\]"),
        ({"test_images": np.zeros((0, 4, 5, 1), np.uint8)}, "test images .* none at all"),
        ({"train_labels": np.zeros(2, np.int32)}, "are 3, but their labels"),
        ({"test_labels": np.array([0, -1, 0], np.int32)}, "labels from -1 to 0.*split whose"),
        ({"test_labels": np.array([0, 2, 0], np.int32)}, "labels from 0 to 2.*there are 2 classes"),
        ({"test_images": np.zeros((3, 4, 4, 1), np.uint8)}, "and test images of .4, 4, 1. .height"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset(**arguments(**changed))
