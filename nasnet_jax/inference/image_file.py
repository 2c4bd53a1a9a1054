"""Image files to arrays."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image, UnidentifiedImageError

_MODES = {1: "L", 3: "RGB"}


def open_image(path: str | os.PathLike[str], channels: int = 3) -> np.ndarray:
    """Decodes an image file of any format that Pillow knows.

    Like TensorFlow's decoder, with which the networks were trained, it drops transparency and does
    not turn an image by what its EXIF data say.

    Args:
        path: The file.
        channels: 3 for colour, 1 for grey; the image is converted.

    Returns:
        uint8 `[height, width, channels]`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an image, or is damaged, or `channels` is neither 1 nor 3.
    """
    if channels not in _MODES:
        raise ValueError(f"Image files have 1 or 3 channels, but the network takes {channels}.")
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no file {os.fspath(path)!r}.")
    try:
        with Image.open(path) as file:
            image: Image.Image = file
            if image.mode.startswith("I"):
                # Pillow would cut 16 bits off at 255; the high ones are what TensorFlow takes.
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            pixels = np.asarray(image.convert(_MODES[channels]))
    except (UnidentifiedImageError, IsADirectoryError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} is not an image of a format that Pillow knows. Leave it out, or "
            "convert it to PNG or JPEG."
        ) from error
    # Pillow raises SyntaxError and ValueError for some broken headers.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} is an image that cannot be decoded, it seems damaged: leave it "
            f"out, or get it again. {error}"
        ) from error
    return pixels.reshape(*pixels.shape[:2], channels)
