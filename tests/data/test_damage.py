"""Images that cannot be decoded, wherever they are met: one line that names the file."""

from __future__ import annotations

import errno
import functools
import io
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasnet_jax.data import cifar, imagenet, load_arrays, open_sources
from nasnet_jax.data.damage import leave_out_damaged
from nasnet_jax.data.fingerprint import fingerprint
from nasnet_jax.data.folder import FileSource
from nasnet_jax.data.image_file import ImageError
from nasnet_jax.data.loading import decoded_images
from nasnet_jax.data.pipeline import eval_batches, train_batches
from nasnet_jax.data.remaining import write_left_out


def photograph(format: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def end_within_the_pixels(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def end_within_the_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:30])


def lose_all(path: Path) -> None:
    path.write_bytes(b"")


def become_a_text(path: Path) -> None:
    path.write_text("Not found\n")


def lead_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def vanish(path: Path) -> None:
    path.unlink()


DAMAGE = [
    ("jpeg", end_within_the_pixels, "seems damaged"),
    ("png", end_within_the_pixels, "seems damaged"),
    ("jpeg", end_within_the_header, "seems damaged"),
    ("png", lose_all, "is empty"),
    ("jpeg", become_a_text, "is not an image of a format that is read"),
    ("png", lead_nowhere, "is a link that leads nowhere"),
    ("jpeg", become_a_folder, "is a folder"),
    ("png", vanish, "is not there any more"),
]
WAYS: dict[str, Callable[[FileSource], object]] = {
    "in memory": lambda source: next(
        image for image, _ in decoded_images(source, 8) if isinstance(image, ImageError)
    ),
    "to train on": lambda source: list(
        itertools.islice(
            train_batches(
                source, functools.partial(imagenet.train_image, size=8), batch_size=4, seed=1
            ),
            5,
        )
    ),
    "to test on": lambda source: list(
        eval_batches(source, functools.partial(cifar.eval_image, size=8), batch_size=4)
    ),
}


def write(folder: Path, format: str) -> FileSource:
    paths = tuple(folder / f"{number}.{format}" for number in range(9))
    for path in paths:
        path.write_bytes(photograph(format))
    return FileSource("folder:x (train)", paths, np.zeros(9, np.int32), ("cat", "dog"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("format", "spoil", "told"), DAMAGE)
def test_it_is_named_by_its_path_in_one_line(
    tmp_path: Path, way: str, format: str, spoil: Callable[[Path], None], told: str
) -> None:
    source = write(tmp_path, format)
    spoil(source.paths[6])
    with pytest.raises(ImageError, match=told) as caught:
        found = WAYS[way](source)
        assert isinstance(found, ImageError), f"nothing is said; {found}"
        raise found
    assert str(caught.value).startswith(repr(str(source.paths[6])))
    assert "\n" not in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine images of each of two classes in both splits; in training two are damaged, in the test one."""
    root = tmp_path / "own"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            write(root / split / name, "png")
    end_within_the_pixels(root / "train" / "cat" / "2.png")
    lead_nowhere(root / "train" / "dog" / "5.png")
    lose_all(root / "test" / "dog" / "0.png")
    return root


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings, in place of the log."""
    said: list[str] = []
    monkeypatch.setattr(
        "absl.logging.warning", lambda text, *values: said.append(text % values if values else text)
    )
    return said


def test_what_cannot_be_decoded_is_left_out_and_listed(folder: Path, quiet: list[str]) -> None:
    name = f"folder:{folder}"
    sources = open_sources(name, skip_damaged=True)
    (train, of_train), (test, of_test) = map(leave_out_damaged, sources)
    assert [len(train), len(test)] == [16, 17]
    listed = [line.split("'")[1] for line in of_train + of_test]
    assert listed == [
        str(folder / place) for place in ("train/cat/2.png", "train/dog/5.png", "test/dog/0.png")
    ]
    assert train.describe(2) == repr(str(folder / "train" / "cat" / "3.png"))
    _, labels = train.read(np.arange(16))
    assert labels.tolist() == [0] * 8 + [1] * 8
    assert quiet[0].startswith(f"{name} (train): 2 of 18 images cannot be decoded and are left out")
    dataset = load_arrays(name, image_size=8, skip_damaged=True)
    assert dataset.left_out == of_train + of_test
    assert dataset.train_labels.tolist() == labels.tolist()
    assert len(dataset.test_images) == 17
    # Whoever has begun without leaving out may go on with it.
    assert dataset.fingerprint == fingerprint(*sources) == fingerprint(train, test)
    batches = list(eval_batches(train, functools.partial(cifar.eval_image, size=8), batch_size=16))
    np.testing.assert_allclose(batches[0]["image"], dataset.train_images / 127.5 - 1, atol=1e-6)


def test_a_class_of_which_nothing_is_left_is_named(folder: Path, quiet: list[str]) -> None:
    for path in (folder / "train" / "dog").iterdir():
        lead_nowhere(path)
    for load in (
        lambda name: load_arrays(name, image_size=8, skip_damaged=True),
        lambda name: leave_out_damaged(open_sources(name, skip_damaged=True)[0]),
    ):
        with pytest.raises(ValueError, match="no image of class 'dog' can be decoded.*cat/2.png"):
            load(f"folder:{folder}")


def test_arrays_have_nothing_to_leave_out() -> None:
    source, _ = open_sources("digits")
    assert leave_out_damaged(source) == (source, ())


def test_a_list_of_what_was_left_out_goes_when_nothing_is(tmp_path: Path) -> None:
    write_left_out(tmp_path, ("'a' is empty", "'b' is empty"))
    assert (tmp_path / "left_out.txt").read_text() == "'a' is empty\n'b' is empty\n"
    write_left_out(tmp_path, ())
    assert not (tmp_path / "left_out.txt").exists()


def test_a_disk_that_fails_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path, "png")

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="0.png' cannot be read: Input/output error"):
        leave_out_damaged(source)
