"""Which files are images, by the ends of their names."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from nasnet_jax.data.image_file import FORMATS

Image.init()  # Or Pillow knows only those formats of which it has met a file.

IMAGE_SUFFIXES = tuple(
    sorted(end for end, name in Image.registered_extensions().items() if name in FORMATS)
)
"""The suffixes of the files that can be read, in small letters."""


def suffix(file: Path) -> str:
    """The suffix of a file in small letters, as `IMAGE_SUFFIXES` has it."""
    return file.suffix.lower()
