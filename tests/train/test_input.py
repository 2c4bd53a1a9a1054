from __future__ import annotations

import itertools
import time

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from nasnet_jax.data.tensorflow_cpu import tf
from nasnet_jax.inference.preprocessing import Preprocessing
from nasnet_jax.train import default_config
from nasnet_jax.train.input import DeviceFeed, open_input, preparation


@pytest.fixture
def config():
    config = default_config()
    config.dataset.name = "digits"
    config.dataset.image_size = 8
    config.dataset.channels = 1
    config.batch_size = 12
    config.augment.crop_padding = 1
    return config


def steps_of(config, number, *, start_step=0):
    batches = open_input(config).train_batches(config, start_step=start_step)
    return list(itertools.islice(batches, number))


def test_parts_are_the_batch_in_order(config):
    (whole,) = steps_of(config, 1, start_step=5)
    config.accumulation_steps = 3
    (parts,) = steps_of(config, 1, start_step=5)
    assert whole["image"].shape == (1, 12, 8, 8, 1)
    assert parts["image"].shape == (3, 4, 8, 8, 1)
    np.testing.assert_array_equal(parts["label"].reshape(-1), whole["label"].reshape(-1))
    np.testing.assert_array_equal(parts["image"].reshape(12, 8, 8, 1), whole["image"][0])


def test_a_start_at_a_step_repeats_what_would_have_come(config):
    whole, resumed = steps_of(config, 4)[2:], steps_of(config, 2, start_step=2)
    for first, second in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(first["image"], second["image"])


def test_images_of_natural_sizes_are_read_when_they_are_needed(config, tmp_path):
    for side, name in enumerate(("cat", "dog"), start=20):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.new("RGB", (side, side)).save(tmp_path / name / f"{number}.png")
    config.dataset.name = f"folder:{tmp_path}"
    config.dataset.preparation = "imagenet"
    config.dataset.channels, config.dataset.num_classes = 3, 2
    with pytest.raises(ValueError, match=r"differ in size.*\. Set dataset.in_memory=False"):
        open_input(config)
    config.dataset.in_memory = False
    (batch,) = steps_of(config, 1)
    assert batch["image"].shape == (1, 12, 8, 8, 3)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset.num_classes", 7, "num_classes is 7, but .* has 10. Set .*num_classes=10"),
        ("dataset.channels", 3, "channels is 3, but .* has 1"),
        ("batch_size", 4096, "batch_size is 4096, .* only 1437"),
    ],
)
def test_data_that_is_not_as_configured_is_refused(config, field, value, message):
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=message):
        open_input(config)


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing.cifar((12, 12)),
        Preprocessing.imagenet((12, 12)),
        Preprocessing(image_size=(8, 10), mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0)),
    ],
)
def test_a_pipeline_prepares_as_the_saved_model_does(preprocessing):
    image = np.random.default_rng(0).integers(0, 256, (20, 17, 3), dtype=np.uint8)
    found = preparation(preprocessing)(tf.constant(image), 3)
    np.testing.assert_allclose(found, preprocessing.apply(image), atol=2 / 127.5)


def batch_of(number: int) -> dict[str, np.ndarray]:
    return {"image": np.full(2, number)}


def put(batch: dict[str, np.ndarray]) -> dict:
    return {name: jnp.asarray(array) for name, array in batch.items()}


def test_the_feed_keeps_the_order():
    with DeviceFeed((batch_of(number) for number in itertools.count()), put) as feed:
        assert [int(feed.next(None)["image"][0]) for _ in range(6)] == list(range(6))


def test_the_feed_measures_waiting_for_slow_input_and_no_other_time():
    def slow():
        for number in range(3):
            time.sleep(0.2)
            yield batch_of(number)

    class Busy:
        def is_ready(self) -> bool:
            return False

    with DeviceFeed(slow(), put) as feed:
        feed.next(None)
        feed.next(jnp.zeros(()).block_until_ready())
        assert 0.3 < feed.seconds_waited < 1.0
        before = feed.seconds_waited
        feed.next(Busy())
        assert feed.seconds_waited == before
    with DeviceFeed((batch_of(number) for number in range(4)), put) as feed:
        time.sleep(0.2)
        feed.next(None)
        assert feed.seconds_waited < 0.1


def test_an_error_of_the_input_arrives():
    def broken():
        yield batch_of(0)
        raise ValueError("image 7 is damaged")

    with DeviceFeed(broken(), put) as feed:
        feed.next(None)
        with pytest.raises(ValueError, match="image 7"):
            feed.next(None)
