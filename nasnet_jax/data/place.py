"""What lies in a folder of people: folders and images; links are followed, hidden things not seen."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from nasnet_jax.data.suffixes import IMAGE_SUFFIXES, suffix

_OF_SYSTEMS = frozenset(
    (
        *("__macosx", "icon\r"),  # macOS; the others of its names begin with a dot.
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("@eadir", "#recycle"),  # Synology.
        *("lost+found", "__pycache__"),
    )
)
_LEADS_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

_Identity = tuple[int, int]
"""Device and number of a folder: the same by whatever path it is reached."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder, and what lies directly in it, all in the order of the names.

    Names that begin with a dot, and those that operating systems leave among files, are in none of
    the tuples, nor are links that lead back to a folder in which this one lies.

    Attributes:
        path: The folder.
        folders: Its folders, also behind links.
        images: Files whose suffix is one of `IMAGE_SUFFIXES`.
        others: All other files.
        dangling: Links that lead nowhere.
        chain: This folder and those through which it was entered.
    """

    path: Path
    folders: tuple[Path, ...]
    images: tuple[Path, ...]
    others: tuple[Path, ...]
    dangling: tuple[Path, ...]
    chain: frozenset[_Identity]

    def enter(self, folder: Path) -> Place:
        """Looks into one of `folders`."""
        return _look(folder, self.chain)

    def walk(self) -> Iterator[Place]:
        """Yields this place and all below it, each folder once, by however many links."""
        return self._walk(set(self.chain))

    def _walk(self, seen: set[_Identity]) -> Iterator[Place]:
        yield self
        for folder in self.folders:
            identity = _identity(folder)
            if identity not in seen:
                seen.add(identity)
                yield from self.enter(folder)._walk(seen)


def look_into(folder: Path) -> Place:
    """Looks into a folder.

    Raises:
        OSError: If it cannot be read.
    """
    return _look(folder, frozenset())


def _look(path: Path, above: frozenset[_Identity]) -> Place:
    chain = above | {_identity(path)}
    found: dict[str, list[Path]] = {"folders": [], "images": [], "others": [], "dangling": []}
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not _is_hidden(entry.name):
                kind = _kind(entry, chain)
                if kind is not None:
                    found[kind].append(path / entry.name)
    return Place(path=path, chain=chain, **{kind: tuple(paths) for kind, paths in found.items()})


def _kind(entry: os.DirEntry[str], chain: frozenset[_Identity]) -> str | None:
    """Which of a place's tuples an entry belongs to; None for a link back."""
    # Only links cost a system call.
    if entry.is_symlink():
        try:
            entry.stat()
        except OSError as error:
            if error.errno in _LEADS_NOWHERE:
                return "dangling"
            raise
        if entry.is_dir() and _identity(Path(entry.path)) in chain:
            return None
    if entry.is_dir():
        return "folders"
    is_image = entry.is_file() and suffix(Path(entry.name)) in IMAGE_SUFFIXES
    return "images" if is_image else "others"


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _OF_SYSTEMS


def _identity(path: Path) -> _Identity:
    status = path.stat()
    return status.st_dev, status.st_ino
