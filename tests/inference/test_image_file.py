from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasnet_jax.inference import open_image

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_files_of_every_mode_become_the_channels_asked_for(
    tmp_path: Path, mode: str, channels: int
) -> None:
    path = tmp_path / ("image.tiff" if mode == "CMYK" else "image.png")
    Image.fromarray(PIXELS).convert(mode).save(path)
    pixels = open_image(path, channels)
    assert pixels.shape == (5, 7, channels)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("channels", [1, 3])
def test_of_16_bits_the_high_ones_are_taken(tmp_path: Path, channels: int) -> None:
    levels = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    pixels = open_image(tmp_path / "deep.png", channels)
    np.testing.assert_array_equal(pixels, np.repeat(levels[..., np.newaxis] >> 8, channels, 2))


def test_a_png_is_decoded_without_loss(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "image.png")
    np.testing.assert_array_equal(open_image(tmp_path / "image.png"), PIXELS)


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
    written = io.BytesIO()
    Image.fromarray(np.tile(PIXELS, (10, 10, 1))).save(written, "png")
    (tmp_path / "cut.png").write_bytes(written.getvalue()[:-100])
    (tmp_path / "text.png").write_text("hello")
    for name, error, message in (
        ("cut.png", ValueError, "cut.png.*damaged"),
        ("text.png", ValueError, "text.png.*not an image"),
        ("missing.png", FileNotFoundError, "missing.png"),
        ("", ValueError, "not an image"),
    ):
        with pytest.raises(error, match=message):
            open_image(tmp_path / name)
