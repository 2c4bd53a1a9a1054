"""Image files to arrays with Pillow: what a file means, in training and in prediction alike.

Of an animation the first frame counts, of 16 bits the high ones; transparency is dropped. An image
is not turned by what its EXIF data say, TIFF apart, where the orientation belongs to the format.
The suffix of a file says nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from nasnet_jax.paths import local_path

FORMATS = (*("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF", "TGA"),)
"""As Pillow calls them, frequent ones first; TGA last, which begins with no mark of its own.

Pillow knows more, such as EPS, for which it calls other programs."""
MAX_PIXELS = 178_956_970
"""The largest image, which takes half a gigabyte; Pillow's own limit."""

_MODES = {1: "L", 3: "RGB"}
_GREY = ("1", "L", "LA")
_HAVE_16_BITS = ("PNG", "PPM")
"""Formats whose mode `I`, 32 bits wide, holds 16; in others the scale of such an image is unknown."""
_BITS_PER_SAMPLE = 258
"""A tag of TIFF."""
_HINT = "leave it out, or get it again"
_LIMIT = threading.Lock()


class ImageError(ValueError):
    """What is there is not an image that can be taken."""


def open_image(file: str | os.PathLike[str] | IO[bytes], channels: int = 3) -> np.ndarray:
    """Decodes an image file of one of `FORMATS`, as training does.

    Args:
        file: Its path, or a file that was opened for reading bytes.
        channels: 3 for colour, 1 for grey; the image is converted.

    Returns:
        uint8 `[height, width, channels]`.

    Raises:
        FileNotFoundError: If there is no such file.
        ImageError: A ValueError; if it is not an image, is damaged, or has more than `MAX_PIXELS`.
        ValueError: If `channels` is neither 1 nor 3.
    """
    if isinstance(file, (str, os.PathLike)):
        path, name = local_path(file), repr(os.fspath(file))
        if not os.path.lexists(path):
            raise FileNotFoundError(f"There is no file {name}.")
        return decode_image(read_file(path), channels, name)
    return decode_image(file.read(), channels)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Reads the file of an image.

    Raises:
        ImageError: If there is nothing that this user can read.
        OSError: If it cannot be read now, which may pass.
    """
    name = repr(os.fspath(path))
    try:
        return local_path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.islink(path):
            raise ImageError(
                f"{name} is a link that leads nowhere: remove it, or bring back what it leads to."
            ) from error
        raise ImageError(f"{name} is not there any more: bring it back, or begin anew.") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is a folder, not an image.") from error
    except PermissionError as error:
        raise ImageError(f"{name} may not be read by this user: change its permissions.") from error
    except OSError as error:
        raise OSError(f"{name} cannot be read: {error.strerror or error}.") from error


def decode_image(contents: bytes, channels: int = 3, name: str = "The image") -> np.ndarray:
    """Decodes the contents of an image file.

    Args:
        contents: Of the file.
        channels: As for `open_image`.
        name: What to call it in messages, which it begins.

    Returns:
        uint8 `[height, width, channels]`.

    Raises:
        ImageError: As for `open_image`.
        ValueError: As for `open_image`.
    """
    with _opened(contents, name) as image:
        return image_pixels(image, channels, name)


def image_size(contents: bytes, name: str = "The image") -> tuple[int, int]:
    """Reads height and width from the contents of an image file without decoding it.

    Raises:
        ImageError: If it is not an image, has more than `MAX_PIXELS`, or its beginning is damaged.
    """
    with _opened(contents, name) as image:
        return image.height, image.width


def image_pixels(image: Image.Image, channels: int = 3, name: str = "The image") -> np.ndarray:
    """Converts an image of Pillow's.

    Args:
        image: In any mode; its file may still be unread.
        channels: As for `open_image`.
        name: As for `decode_image`.

    Returns:
        uint8 `[height, width, channels]`.

    Raises:
        ImageError: If it is damaged, or its pixels have no known scale.
        ValueError: As for `open_image`.
    """
    if channels not in _MODES:
        raise ValueError(f"Image files have 1 or 3 channels, but the network takes {channels}.")
    with _telling(name):
        _load(image)
    if image.mode == "F" or image.mode == "I" and image.format not in _HAVE_16_BITS:
        raise ImageError(
            f"{name} has pixels of 32 bits, and nothing says which number is white. Save it with 8 "
            "or 16 bits."
        )
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> (_depth(image) - 8)).astype(np.uint8))
    try:
        pixels = np.asarray(_converted(image, _MODES[channels]))
    except ValueError as error:
        raise ImageError(
            f"{name} has colours of the kind {image.mode}, which are not understood. Convert it to "
            "RGB."
        ) from error
    return pixels.reshape(image.height, image.width, channels)


def _depth(image: Image.Image) -> int:
    """Bits of an image in one of the modes that begin with I."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(_BITS_PER_SAMPLE, (16,))[0]


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """Brings an image to grey (`L`) or to colour (`RGB`)."""
    if image.mode == mode:
        return image
    # From a palette by way of transparency, of which Pillow would warn otherwise.
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    # Whatever the colours are, their grey is that of the RGB that they are.
    return (image if image.mode in _GREY else image.convert("RGB")).convert(mode)


@contextlib.contextmanager
def _opened(contents: bytes, name: str) -> Iterator[Image.Image]:
    if not contents:
        raise ImageError(f"{name} is empty: {_HINT}.")
    with contextlib.ExitStack() as stack:
        with _telling(name), _without_pillows_limit():
            image = stack.enter_context(Image.open(io.BytesIO(contents), formats=FORMATS))
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(
                f"{name} is too large: it has {image.width} x {image.height} = "
                f"{image.width * image.height:,} pixels, and at most {MAX_PIXELS:,} are taken. "
                "Scale it down, or leave it out."
            )
        yield image


def _load(image: Image.Image) -> None:
    """Decodes the pixels."""
    warns_above = Image.MAX_IMAGE_PIXELS
    if warns_above is None or image.width * image.height <= warns_above:
        image.load()
    else:
        with _without_pillows_limit():
            image.load()


@contextlib.contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Lets Pillow take images of any size; `MAX_PIXELS` is looked after here.

    Pillow would warn from half that size on, and for its limit there is no argument.
    """
    with _LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextlib.contextmanager
def _telling(name: str) -> Iterator[None]:
    """Turns what Pillow raises into one sentence."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not an image of a format that is read ({', '.join(FORMATS)}). Leave it out, "
            "or convert it to PNG or JPEG."
        ) from error
    except MemoryError as error:
        raise ImageError(
            f"{name} does not fit the memory. Scale it down, or leave it out."
        ) from error
    # Whatever a parser of Pillow's stumbles over: SyntaxError, struct.error, KeyError and others.
    except Exception as error:
        raise ImageError(
            f"{name} is an image that cannot be decoded, it seems damaged: {_HINT}. Pillow says: "
            f"{str(error).rstrip('.') or type(error).__name__}."
        ) from error
