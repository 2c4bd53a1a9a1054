"""A plan takes the size of the data from what is configured, and what a run would find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasnet_jax.planning.data_size import DataSize, data_size
from nasnet_jax.planning.search_size import search_size
from nasnet_jax.search.config import default_config
from nasnet_jax.search.data import load_data
from nasnet_jax.train.config import default_config as training_config


def folder(path: Path) -> str:
    """Images of 12x10 in two classes, eight to train and two to test."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (path / name).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 256, (12, 10, 3), np.uint8)
            Image.fromarray(pixels).save(path / name / f"{number}.png")
    return f"folder:{path}"


def arrays(path: Path) -> str:
    labels = np.arange(6) % 3
    images = np.zeros((6, 9, 7), np.uint8)
    np.savez(path, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    return f"arrays:{path}"


@pytest.mark.parametrize("image_size", [0, 8])
@pytest.mark.parametrize("kind", ["digits", "fake", "folder", "arrays"])
def test_it_is_the_size_of_what_is_loaded(tmp_path: Path, kind: str, image_size: int) -> None:
    config = default_config()
    config.dataset.name = {
        "folder": lambda: folder(tmp_path / "images"),
        "arrays": lambda: arrays(tmp_path / "arrays.npz"),
    }.get(kind, lambda: kind)()
    config.dataset.image_size = image_size
    config.dataset.fake.update(num_train=70, num_test=20, num_classes=7, image_size=6, channels=2)
    loaded = load_data(config)
    assert data_size(config.dataset) == DataSize(
        len(loaded.train_labels), loaded.num_classes, loaded.image_shape
    )


def test_well_known_sets_need_not_be_there() -> None:
    config = default_config()
    config.dataset.name = "imagenet2012"
    with pytest.raises(ValueError, match=r"differ in size\. Set dataset\.image_size"):
        data_size(config.dataset)
    config.dataset.image_size = 32
    assert data_size(config.dataset) == DataSize(1_281_167, 1000, (32, 32, 3))


def test_a_training_has_the_made_up_images_of_its_own_size() -> None:
    config = training_config()
    config.dataset.name = "fake"
    config.dataset.image_size = 16
    assert data_size(config.dataset) == DataSize(50_000, 10, (16, 16, 3))


def test_the_sizes_of_a_search_follow_the_made_up_data() -> None:
    config = default_config()
    config.dataset.name = "fake"
    config.dataset.num_validation = 64
    config.child.batch_size = 32
    config.dataset.fake.update(num_train=1024, num_classes=100, image_size=64)
    size = search_size(config)
    assert (size.num_train, size.steps, size.evaluations) == (960, 30, 2)
    assert size.macro.image_height_width == (64, 64) and size.macro.num_classes == 100
    config.dataset.num_train = 961
    with pytest.raises(ValueError, match="has 1024 training images, of which 64 are held out"):
        search_size(config)


def test_a_plan_refuses_what_a_search_refuses() -> None:
    config = default_config()
    config.child.epochs = 0
    with pytest.raises(ValueError, match="child.epochs must be"):
        search_size(config)
