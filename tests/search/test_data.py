from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from nasnet_jax.search.config import default_config
from nasnet_jax.search.data import load_data


def test_the_size_that_brings_images_together_is_asked_for(tmp_path: Path) -> None:
    for side, name in enumerate(("cat", "dog"), start=20):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("RGB", (side, side)).save(tmp_path / name / f"{number}.png")
    config = default_config()
    config.dataset.name = f"folder:{tmp_path}"
    with pytest.raises(ValueError, match=r"differ in size.*\. Set dataset.image_size"):
        load_data(config)
    config.dataset.image_size = 16
    assert load_data(config).image_shape == (16, 16, 3)


def test_the_split_to_test_on_is_configured() -> None:
    config = default_config()
    config.dataset.name = "digits"
    config.dataset.test_split = "train[80%:]"
    with pytest.raises(ValueError, match="'train.80%:.' is a split of TFDS"):
        load_data(config)


def test_what_is_made_up_is_what_is_configured() -> None:
    config = default_config()
    config.dataset.name = "fake"
    config.dataset.fake.num_train, config.dataset.fake.image_size = 70, 9
    data = load_data(config)
    assert data.train_images.shape == (70, 9, 9, 3)
