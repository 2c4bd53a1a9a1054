from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasnet_jax.data.image_file import MAX_PIXELS, ImageError, image_pixels, open_image

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


def test_an_opened_file_is_taken_as_its_path_is(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "image.bmp")
    with open(tmp_path / "image.bmp", "rb") as file:
        np.testing.assert_array_equal(open_image(file), PIXELS)


def test_a_wrong_suffix_says_nothing(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "image.jpg", "png")
    np.testing.assert_array_equal(open_image(tmp_path / "image.jpg"), PIXELS)


@pytest.mark.parametrize("kind", ["gif", "png", "tiff", "webp"])
def test_of_several_pictures_the_first_counts(tmp_path: Path, kind: str) -> None:
    first, *others = (Image.new("RGB", (6, 4), colour) for colour in ("red", "blue", "lime"))
    path = tmp_path / f"several.{kind}"
    options = {"lossless": True} if kind == "webp" else {}
    first.save(path, save_all=True, append_images=others, **options)
    np.testing.assert_array_equal(open_image(path), np.asarray(first))


def test_what_shines_through_is_dropped_with_the_transparency() -> None:
    colours = Image.fromarray(PIXELS)
    for image in (colours.convert("RGBA"), colours.quantize(7), colours.convert("LA")):
        visible = image.convert("RGB")
        if image.mode == "P":
            image.info["transparency"] = bytes(range(0, 140, 20))
        else:
            image.putalpha(77)
        np.testing.assert_array_equal(image_pixels(image), np.asarray(visible))


def test_of_12_bits_in_a_tiff_the_high_ones_are_taken(tmp_path: Path) -> None:
    levels = np.arange(0, 4096, 16, dtype=np.uint16)
    # Two numbers in three bytes, which Pillow reads and does not write.
    even, odd = levels[::2], levels[1::2]
    packed = np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255])
    strip = packed.T.astype(np.uint8).tobytes()
    # Width, height, bits, compression, meaning, where the strip begins, channels, its rows and bytes.
    tags = {256: 256, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    header = struct.pack("<2sHI", b"II", 42, 8 + len(strip))
    (tmp_path / "deep.tiff").write_bytes(
        header + strip + struct.pack("<H", len(tags)) + entries + bytes(4)
    )
    np.testing.assert_array_equal(open_image(tmp_path / "deep.tiff", 1).ravel(), levels >> 4)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_which_nothing_says_what_is_white_are_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(PIXELS).convert(mode).save(tmp_path / "deep.tiff")
    with pytest.raises(ImageError, match="deep.tiff' has pixels of 32 bits.*Save it with 8 or 16"):
        open_image(tmp_path / "deep.tiff")


def test_large_images_are_taken_without_a_warning_up_to_a_limit_of_our_own(
    tmp_path: Path,
) -> None:
    """What Pillow warns of is taken, and what it refuses is said to be too large, not damaged."""
    limit = Image.MAX_IMAGE_PIXELS
    for suffix in ("png", "tiff"):
        path = tmp_path / f"large.{suffix}"
        # One bit a pixel, so that it takes little memory until it is decoded.
        Image.new("1", (10_000, 9_000), 1).save(path)
        assert open_image(path, 1).shape == (9_000, 10_000, 1)
    Image.new("1", (MAX_PIXELS // 10_000, 10_001)).save(tmp_path / "larger.png")
    with pytest.raises(ImageError, match="larger.png' is too large.* at most 178,956,970 .*Scale"):
        open_image(tmp_path / "larger.png")
    assert Image.MAX_IMAGE_PIXELS == limit


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
    written = io.BytesIO()
    Image.fromarray(np.tile(PIXELS, (10, 10, 1))).save(written, "png")
    (tmp_path / "cut.png").write_bytes(written.getvalue()[:-100])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    for name, error, message in (
        ("cut.png", ValueError, "cut.png.*damaged"),
        ("text.png", ValueError, "text.png.*not an image"),
        ("empty.png", ValueError, "empty.png' is empty"),
        ("missing.png", FileNotFoundError, "missing.png"),
        ("", ValueError, "is a folder, not an image"),
    ):
        with pytest.raises(error, match=message):
            open_image(tmp_path / name)
