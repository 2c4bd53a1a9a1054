"""The images of each class in a folder, and what in it is not used."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from absl import logging

from nasnet_jax.data.place import Place
from nasnet_jax.data.split_names import splits_among
from nasnet_jax.data.suffixes import IMAGE_SUFFIXES, suffix


class Listing:
    """Lists the images of classes, and counts what else lies there.

    Args:
        skip_damaged: Whether links that lead nowhere are listed if they are called like images. By
            default they are an error.
    """

    def __init__(self, *, skip_damaged: bool) -> None:
        self._skip_damaged = skip_damaged
        self._folders: list[str] = []
        self._stray = 0
        self._suffixes: Counter[str] = Counter()

    def classes(self, place: Place) -> dict[str, list[Path]]:
        """Lists the images of each class, both in the order of their names.

        Raises:
            FileNotFoundError: If a link leads nowhere.
            ValueError: If a class has no images, or it is not clear what the classes are.
        """
        refuse_splits(place)
        folders: dict[str, Path] = {}
        seen: dict[object, Path] = {}
        for folder in place.folders:
            inside = place.enter(folder)
            twin = folders.get(alike(folder.name)) or seen.get(inside.chain)
            if twin is not None:
                raise ValueError(
                    f"The folders {str(twin)!r} and {str(folder)!r} are the same, or their names "
                    "differ in nothing but capital letters or the form of an accent. Leave one, or "
                    "give them other names."
                )
            folders[alike(folder.name)] = seen[inside.chain] = folder
        return {
            name: self._images(place.enter(folder))
            for name, folder in sorted((class_name(folder), folder) for folder in place.folders)
        }

    def leave_out(self, folders: Iterable[Path]) -> None:
        """Notes folders whose images are not used."""
        self._folders += [folder.name for folder in folders]

    def pass_through(self, places: Iterable[Place]) -> None:
        """Notes what lies in the folders around the classes; no image there is used.

        Raises:
            FileNotFoundError: If a link leads nowhere.
        """
        for place in places:
            self._stray += len(place.images) + len(self._note(place))

    def report(self, name: str) -> None:
        """Logs what is not used of a data set, if there is anything."""
        parts = [
            f"{count} {end or 'without suffix'}" for end, count in sorted(self._suffixes.items())
        ]
        if self._stray:
            images = "1 image" if self._stray == 1 else f"{self._stray} images"
            parts.append(f"{images} outside of the folders of the classes")
        parts += [f"the folder {folder!r}" for folder in self._folders]
        if parts:
            logging.warning("%s: not used: %s.", name, ", ".join(parts))

    def _images(self, place: Place) -> list[Path]:
        """Lists the images of a class, in the order of their names."""
        images: list[Path] = []
        for inner in place.walk():
            refuse_splits(inner)
            images += (*inner.images, *self._note(inner))
        if not images:
            raise ValueError(
                f"Folder {str(place.path)!r} should hold the images of a class, but no file in it "
                "is called like one (.jpg, .png, .tiff, .webp, ...). Remove it, or add images."
            )
        return sorted(images)

    def _note(self, place: Place) -> list[Path]:
        """Notes the files that are no images; returns the links that should lead to one."""
        if place.dangling and not self._skip_damaged:
            link = place.dangling[0]
            raise FileNotFoundError(
                f"The link {str(link)!r} leads nowhere; {os.readlink(link)!r} is not there. Remove "
                "the link, or bring back what it leads to."
            )
        images = [link for link in place.dangling if suffix(link) in IMAGE_SUFFIXES]
        others = (link for link in place.dangling if link not in images)
        self._suffixes.update(map(suffix, (*place.others, *others)))
        return images


def refuse_splits(place: Place) -> None:
    """Raises ValueError if the names of a place's folders speak of splits, where classes should be."""
    names = splits_among(folder.name for folder in place.folders)
    if names:
        raise ValueError(
            f"The folders {', '.join(map(repr, names))} in {str(place.path)!r} seem to be splits, but "
            "stand where classes do. The outermost folders should be 'train' and 'test', with the "
            "folders of the classes in both."
        )


def class_name(folder: Path) -> str:
    """The name of a class as its folder has it, in the composed form of Unicode (NFC).

    Raises:
        ValueError: If it is no text.
    """
    try:
        folder.name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The name of the folder {str(folder)!r} is not in UTF-8. Rename it, as it names a class."
        ) from error
    return unicodedata.normalize("NFC", folder.name)


def alike(name: str) -> str:
    """What is equal for names that people take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
