"""Which files are images, by the ends of their names."""

from __future__ import annotations

from pathlib import Path

from PIL import features

_ALWAYS = (
    *(".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"),
    *(".ppm", ".tga", ".tif", ".tiff"),
)
_IF_INSTALLED = {"avif": (".avif",), "jpg_2000": (".j2k", ".jp2"), "webp": (".webp",)}
"""Pillow may be built without these decoders."""

IMAGE_SUFFIXES = tuple(
    sorted(
        (
            *_ALWAYS,
            *(end for name, ends in _IF_INSTALLED.items() if features.check(name) for end in ends),
        )
    )
)
"""The suffixes of the files that can be read, in small letters."""


def suffix(file: Path) -> str:
    """The suffix of a file in small letters, as `IMAGE_SUFFIXES` has it."""
    return file.suffix.lower()
