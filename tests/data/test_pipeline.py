from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasnet_jax.data import cifar, imagenet, open_sources, pipeline
from nasnet_jax.data.pipeline import Batch, eval_batches, train_batches
from nasnet_jax.data.source import ArraySource
from nasnet_jax.data.tensorflow_cpu import tf


def numbered_source(number: int) -> ArraySource:
    """Returns images of one pixel whose label is their number."""
    labels = np.arange(number, dtype=np.int32)
    return ArraySource("numbers", np.zeros((number, 1, 1, 1), np.uint8), labels, ("a", "b"))


def pixels(image: tf.Tensor, channels: int) -> tf.Tensor:
    del channels
    return tf.cast(image, tf.float32)


def pixels_and_noise(image: tf.Tensor, channels: int, seed: tf.Tensor) -> tf.Tensor:
    return pixels(image, channels) + tf.random.stateless_uniform([1, 1, 1], seed)


def take(batches: object, number: int) -> list[Batch]:
    return list(itertools.islice(batches, number))  # type: ignore[call-overload]


def labels_of(batches: list[Batch]) -> list[int]:
    return np.concatenate([batch["label"] for batch in batches]).tolist()


@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 1000), number=st.integers(1, 50))
def test_every_epoch_is_a_permutation(seed: int, epoch: int, number: int) -> None:
    positions = np.arange(epoch * number, (epoch + 1) * number)
    assert sorted(pipeline._in_order(positions, number, seed)) == list(range(number))


def test_epochs_follow_each_other_without_a_gap_in_orders_of_their_own() -> None:
    batches = take(train_batches(numbered_source(10), pixels_and_noise, batch_size=4, seed=0), 5)
    labels = labels_of(batches)
    first, second = labels[:10], labels[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


@given(start=st.integers(0, 40), seed=st.integers(0, 3))
@settings(max_examples=5)
def test_a_start_at_any_step_repeats_what_would_have_come(start: int, seed: int) -> None:
    source = numbered_source(7)

    def batches(start_step: int, number: int) -> list[Batch]:
        options = {"batch_size": 3, "seed": seed, "start_step": start_step}
        return take(train_batches(source, pixels_and_noise, **options), number)

    for whole, resumed in zip(batches(0, start + 2)[start:], batches(start, 2), strict=True):
        np.testing.assert_array_equal(whole["label"], resumed["label"])
        np.testing.assert_array_equal(whole["image"], resumed["image"])


def test_the_seed_decides_order_and_augmentation() -> None:
    def batch(seed: int) -> Batch:
        return next(train_batches(numbered_source(9), pixels_and_noise, batch_size=9, seed=seed))

    assert (batch(0)["label"] != batch(1)["label"]).any()
    assert (batch(0)["image"] != batch(1)["image"]).any()
    # Every image of a batch has random numbers of its own.
    assert len(np.unique(batch(0)["image"])) == 9


@pytest.mark.parametrize("host_count", [2, 3])
def test_the_shares_of_the_hosts_make_up_the_batch(host_count: int) -> None:
    def batches(index: int, count: int) -> list[Batch]:
        options = {"batch_size": 6, "seed": 5, "host_index": index, "host_count": count}
        return take(train_batches(numbered_source(8), pixels_and_noise, **options), 3)

    shares = [batches(index, host_count) for index in range(host_count)]
    for whole, *parts in zip(batches(0, 1), *shares, strict=True):
        for key in ("image", "label"):
            np.testing.assert_array_equal(whole[key], np.concatenate([part[key] for part in parts]))


@given(number=st.integers(1, 13), local=st.integers(1, 4), host_count=st.integers(1, 3))
@settings(max_examples=12)
def test_evaluation_counts_every_example_once(number: int, local: int, host_count: int) -> None:
    batch_size = local * host_count
    counted: list[int] = []
    for host_index in range(host_count):
        batches = list(
            eval_batches(
                numbered_source(number),
                pixels,
                batch_size=batch_size,
                host_index=host_index,
                host_count=host_count,
            )
        )
        # All hosts take part in every step, or those that do would wait for ever.
        assert len(batches) == -(-number // batch_size)
        for batch in batches:
            assert batch["image"].shape == (local, 1, 1, 1)
            counted += batch["label"][batch["mask"]].tolist()
    assert sorted(counted) == list(range(number))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 11}, "batch of 11 is larger than numbers, which has 10 images"),
        ({"batch_size": 5, "host_count": 2}, "5 cannot be divided among 2 hosts"),
        ({"batch_size": 4, "host_index": 2, "host_count": 2}, "no host 2 among 2"),
        ({"batch_size": 0}, "batch of 0 cannot"),
    ],
)
def test_bad_sizes_are_refused_before_anything_is_read(
    changed: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train_batches(numbered_source(10), pixels_and_noise, seed=0, **changed)


def test_digits_with_shifts_and_at_rest() -> None:
    train, test = open_sources("digits")
    augment = functools.partial(cifar.train_image, size=8, padding=1, flip=False, cutout=0)
    batch = next(train_batches(train, augment, batch_size=32, seed=0))
    assert batch["image"].shape == (32, 8, 8, 1)
    assert batch["image"].dtype == np.float32
    assert batch["label"].dtype == np.int32
    prepare = functools.partial(cifar.eval_image, size=8)
    batches = list(eval_batches(test, prepare, batch_size=64))
    mask = np.concatenate([batch["mask"] for batch in batches])
    images = np.concatenate([batch["image"] for batch in batches])[mask]
    pixel_values, labels = test.read(np.arange(len(test)))
    np.testing.assert_allclose(images, pixel_values / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(np.array(labels_of(batches))[mask], labels)


def test_real_photographs_resume_bit_for_bit(shared_data_dir: Path) -> None:
    train, _ = open_sources("imagenette/160px-v2", data_dir=shared_data_dir)
    augment = functools.partial(imagenet.train_image, size=64)
    whole = take(train_batches(train, augment, batch_size=16, seed=1), 3)
    resumed = next(train_batches(train, augment, batch_size=16, seed=1, start_step=2))
    np.testing.assert_array_equal(whole[2]["image"], resumed["image"])
    np.testing.assert_array_equal(whole[2]["label"], resumed["label"])
    images = np.stack([batch["image"] for batch in whole])
    assert images.shape == (3, 16, 64, 64, 3)
    assert images.min() >= -1
    assert images.max() <= 1
    assert 0.2 < images.std() < 0.9


def test_real_evaluation_set_is_counted_once(shared_data_dir: Path) -> None:
    _, test = open_sources("imagenette/160px-v2", data_dir=shared_data_dir)
    prepare = functools.partial(imagenet.eval_image, size=32)
    batches = list(eval_batches(test, prepare, batch_size=96))
    mask = np.concatenate([batch["mask"] for batch in batches])
    assert mask.sum() == 400
    np.testing.assert_array_equal(np.bincount(np.array(labels_of(batches))[mask]), [40] * 10)
