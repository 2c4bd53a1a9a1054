"""Parts of bounded size, and what reading takes of the memory."""

from __future__ import annotations

import functools
import io
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nasnet_jax.data import cifar, reading
from nasnet_jax.data.pipeline import eval_batches
from nasnet_jax.data.reading import read_parts


@functools.cache
def contents(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side), side % 256).save(file, "bmp")
    return file.getvalue()


class Sides:
    """Grey squares of these sides, each of a grey that its side says, labelled by number."""

    name = "squares"
    class_names = ("a", "b")
    channels = 1
    encoded = True

    def __init__(self, sides: list[int]) -> None:
        self.sides = sides

    def __len__(self) -> int:
        return len(self.sides)

    def read(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images = np.array([contents(self.sides[number]) for number in numbers], object)
        return images, numbers.astype(np.int32)

    def describe(self, number: int) -> str:
        return f"Square {number}"

    def identity(self) -> dict[str, object]:
        return {}


@given(st.lists(st.sampled_from([1, 9, 60, 100, 150]), max_size=40), st.data())
def test_parts_hold_all_in_order_and_no_more_than_may_be_decoded_at_once(
    sides: list[int], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BYTES_PER_CORE", 90_000)
        patch.setattr(reading, "usable_cores", lambda: 1)
        patch.setattr(reading, "_BLOCK_BYTES", data.draw(st.sampled_from([1, 20_000, 10**6])))
        numbers = data.draw(st.permutations(range(len(sides))))
        parts = list(read_parts(Sides(sides), numbers))
    assert [example.number for part in parts for example in part] == list(numbers)
    for part in parts:
        assert len(part) == 1 or sum(example.size for example in part) <= 90_000
        for example in part:
            assert example.contents == contents(sides[example.number])
            assert example.size > 4 * sides[example.number] ** 2
    # None is smaller than it must be.
    for part, after in zip(parts, parts[1:], strict=False):
        assert sum(example.size for example in (*part, after[0])) > 90_000


def test_endless_numbers_are_read_as_far_as_they_are_wanted() -> None:
    asked: list[int] = []

    def numbers():
        while True:
            asked.append(0)
            yield 0

    parts = read_parts(Sides([9]), numbers())
    next(parts)
    parts.close()
    assert len(asked) < 1_000


@given(st.lists(st.sampled_from([1, 9, 60, 100, 150]), min_size=1, max_size=30))
@settings(max_examples=5)
def test_images_larger_than_were_thought_of_do_not_change_what_comes(sides: list[int]) -> None:
    """Fewer are decoded at a time from the first one on that is so large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BYTES_PER_CORE", 20_000)
        patch.setattr("nasnet_jax.data.streaming.usable_cores", lambda: 5)
        batches = list(
            eval_batches(Sides(sides), functools.partial(cifar.eval_image, size=1), batch_size=4)
        )
    mask = np.concatenate([batch["mask"] for batch in batches])
    labels = np.concatenate([batch["label"] for batch in batches])[mask]
    values = np.concatenate([batch["image"].ravel() for batch in batches])[mask]
    assert labels.tolist() == list(range(len(sides)))
    np.testing.assert_allclose((values + 1) * 127.5, np.array(sides) % 256, atol=0.01)


_PROGRAM = """
import functools, json, resource, sys
from nasnet_jax.data import cifar, load_arrays, open_sources
from nasnet_jax.data.pipeline import train_batches

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def stream(name):
    train, _ = open_sources(name)
    batches = train_batches(
        train, functools.partial(cifar.train_image, size=32), batch_size=train_size, seed=0
    )
    next(batches)
    batches.close()

small, large, train_size = sys.argv[1], sys.argv[2], 4
load_arrays(small, image_size=32)
stream(small)
peaks = [peak()]
load_arrays(large, image_size=32)
peaks.append(peak())
train_size = 48
stream(large)
peaks.append(peak())
print(json.dumps(peaks))
"""


def test_photographs_take_memory_by_their_bytes_and_not_by_their_number(tmp_path: Path) -> None:
    """60 files of 7 MB, which together are 420 MB, and as much again decoded."""
    rng = np.random.default_rng(0)
    photo = tmp_path / "photo.png"
    pixels = rng.integers(0, 256, (1500, 1600, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photo, compress_level=0)
    for folder, number in (("small", 3), ("large", 30)):
        for name in ("cat", "dog"):
            (tmp_path / folder / name).mkdir(parents=True)
            for place in range(number):
                file = tmp_path / folder / name / f"{place}.png"
                if folder == "large":
                    file.hardlink_to(photo)
                else:
                    Image.fromarray(pixels[:16, :16]).save(file)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(_PROGRAM),
            *(f"folder:{tmp_path / folder}" for folder in ("small", "large")),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    peaks = before, loaded, streamed = json.loads(done.stdout)
    assert loaded - before < 300, peaks
    assert streamed - before < 300, peaks
