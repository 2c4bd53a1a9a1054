"""A file means the same in training (TensorFlow) and in prediction (Pillow)."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nasnet_jax.data import decoding
from nasnet_jax.data.image_file import decode_image
from nasnet_jax.data.tensorflow_cpu import tf

_ORIENTATION = 274
_MODES = {
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "PNG": ("1", "L", "LA", "P", "P, some seen through", "P, one unseen", "RGB", "RGBA", "I;16"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "P", "P, one unseen", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16"),
    "WEBP": ("L", "P", "RGB", "RGBA"),
    "PPM": ("1", "L", "RGB", "I;16"),
    "TGA": ("L", "LA", "P", "RGB", "RGBA"),
}
"""What Pillow writes."""
_OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "JPEG": ({"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2, "progressive": True}),
    "PNG": ({}, {"bits": 4}),
    "TIFF": ({}, {"compression": "tiff_lzw"}),
    "WEBP": ({}, {"lossless": True}),
}


@functools.cache
def as_training_does(name: str, channels: int) -> Any:
    """One of `decoding`'s functions as a graph, as tf.data runs it."""
    return tf.function(
        lambda *arguments: getattr(decoding, name)(*arguments, channels), autograph=False
    )


def write(format: str, mode: str, size: tuple[int, int], seed: int, **options: Any) -> bytes:
    """Returns the contents of a file of random colours, smooth as those of a photograph."""
    rng = np.random.default_rng(seed)
    corners = Image.fromarray(rng.integers(0, 256, (3, 4, 3)).astype(np.uint8))
    image: Image.Image = corners.resize(size, Image.Resampling.BICUBIC)
    mode, _, transparency = mode.partition(", ")
    if mode == "P":
        image = image.quantize(13)
        if transparency:
            options["transparency"] = (
                3 if transparency == "one unseen" else bytes(range(0, 260, 20))
            )
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 250)
    else:
        image = image.convert(mode)
        if mode in ("LA", "RGBA"):
            image.putalpha(Image.fromarray(rng.integers(0, 256, size[::-1]).astype(np.uint8)))
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("format", "mode"), [(format, mode) for format, modes in _MODES.items() for mode in modes]
)
@given(data=st.data())
@settings(max_examples=15)
def test_a_file_means_the_same_in_training_and_in_prediction(
    format: str, mode: str, data: st.DataObject
) -> None:
    width, height = size = data.draw(st.tuples(st.integers(1, 70), st.integers(1, 70)))
    options = dict(data.draw(st.sampled_from(_OPTIONS.get(format, ({},)))))
    if mode not in ("P", "L"):
        options.pop("bits", None)
    orientation = data.draw(st.sampled_from([None, 1, 3, 6]))
    if orientation and format in ("JPEG", "PNG", "TIFF", "WEBP"):
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        options["exif"] = exif
        if format == "TIFF" and orientation == 6:
            width, height = height, width
    contents = write(format, mode, size, data.draw(st.integers(0, 99)), **options)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows = data.draw(st.integers(1, height - top))
    columns = data.draw(st.integers(1, width - left))
    file, window = tf.constant(contents), tf.constant([top, left, rows, columns])
    for channels in (1, 3):
        expected = decode_image(contents, channels)
        assert expected.shape == (height, width, channels)
        np.testing.assert_array_equal(as_training_does("decode", channels)(file), expected)
        assert as_training_does("shape", channels)(file)[:2].numpy().tolist() == [height, width]
        np.testing.assert_array_equal(
            as_training_does("decode_crop", channels)(file, window),
            expected[top : top + rows, left : left + columns],
        )


def test_a_palette_means_its_colours() -> None:
    colours = Image.fromarray(
        np.kron(np.eye(3, dtype=np.uint8) * 255, np.ones((9, 9, 1), np.uint8))
    )
    for format in ("BMP", "GIF", "PNG", "TIFF"):
        file = io.BytesIO()
        colours.quantize(8).save(file, format)
        decoded = decoding.decode(tf.constant(file.getvalue()), 3)
        np.testing.assert_array_equal(decoded, np.asarray(colours))
