"""Images that cannot be decoded, wherever they are met: one line that names the file."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasnet_jax.data import cifar, imagenet
from nasnet_jax.data.folder import FileSource
from nasnet_jax.data.image_file import ImageError
from nasnet_jax.data.loading import decoded_images
from nasnet_jax.data.pipeline import eval_batches, train_batches


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
