"""Own images in folders, one folder a class."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasnet_jax.data.image_file import read_file
from nasnet_jax.data.listing import Listing, alike
from nasnet_jax.data.place import Place, look_into
from nasnet_jax.data.split_names import split_role
from nasnet_jax.paths import local_path

_SIZES = 50_000
"""Files whose sizes are looked up for `FileSource.identity`; those of a million take seconds."""


Classes = dict[str, list[Path]]
"""The images of each class."""


@dataclasses.dataclass(frozen=True, eq=False)
class FileSource:
    """Image files, each with a label.

    Attributes:
        name: What to call it in messages.
        paths: The files.
        labels: `[number]` int32.
        class_names: The name of each label.
    """

    name: str
    paths: tuple[Path, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    channels: int = dataclasses.field(default=3, init=False)
    encoded: bool = dataclasses.field(default=True, init=False)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the contents of these files, `[n]` bytes, and their labels."""
        contents = np.array([read_file(self.paths[number]) for number in numbers], dtype=object)
        return contents, self.labels[numbers]

    def describe(self, number: int) -> str:
        """Its path."""
        return repr(str(self.paths[number]))

    def identity(self) -> dict[str, Any]:
        """A hash of all labels and names of files, and of the sizes of all or of many of them."""
        listing = hashlib.sha256(self.labels.astype("<i4").tobytes())
        listing.update(os.fsencode("\0".join(path.name for path in self.paths)))
        some = self.paths[:: -(-len(self.paths) // _SIZES)]
        # A link that leads nowhere is told of by whoever reads it.
        sizes = [path.stat().st_size if path.exists() else None for path in some]
        listing.update(repr(sizes).encode())
        return {"listing": listing.hexdigest()}


def open_folder(
    path: str | os.PathLike[str], *, skip_damaged: bool = False
) -> tuple[FileSource, FileSource]:
    """Opens a folder of images: one folder for each class, its images anywhere below it.

    The classes stand either in the folder itself or in those of its splits, which may be called in
    many ways (`nasnet_jax.data.split_names`): `train`, and `test` or else `val`, whichever holds
    folders of the classes. Without such folders a fifth of the images of each class, at least one,
    are the test images; the hashes of their names decide which, so they are the same on every
    machine. A folder that holds no other than one is looked through. Links are followed, and what
    is hidden is not seen (`nasnet_jax.data.place`). What else is not used is logged.

    Args:
        path: The folder.
        skip_damaged: Whether links that lead nowhere are among the paths if they are called like
            images, for one who leaves out what cannot be read. By default they are an error.

    Returns:
        The training and the test images.

    Raises:
        FileNotFoundError: If there is no such folder, or a link leads nowhere.
        ValueError: If it does not hold at least two classes, if train and test hold different
            classes, if a class has too few images, or if it is not clear what the splits or the
            classes are.
    """
    root = local_path(path)
    if not root.is_dir():
        raise FileNotFoundError(
            f"{str(root)!r} is a file, and should be a folder of images."
            if root.exists()
            else f"There is no folder {str(root)!r} of images."
        )
    listing = Listing(skip_damaged=skip_damaged)
    places = _look_through(look_into(root), None)
    listing.pass_through(places)
    splits = _find_splits(places[-1], listing)
    if splits is None:
        train, test = _divide(places[-1], listing)
    else:
        train, test = _pair(*splits, listing)
    name = f"folder:{root}"
    listing.report(name)
    return _file_source(train, f"{name} (train)"), _file_source(test, f"{name} (test)")


def _look_through(place: Place, role: str | None) -> list[Place]:
    """Goes down while there is one folder that holds folders; returns the way, its end last.

    Args:
        place: Where it begins.
        role: Which split the place is, or None.
    """
    places = [place]
    while len(place.folders) == 1 and split_role(place.folders[0].name) in (None, role):
        place = place.enter(place.folders[0])
        if not place.folders:
            break
        places.append(place)
    return places


def _find_splits(place: Place, listing: Listing) -> tuple[Place, Place] | None:
    """Finds the folders of training and of test images; None if the folders here are classes.

    Raises:
        ValueError: If there are splits, but it is not clear which they are.
    """
    roles: dict[str | None, list[Path]] = {"train": [], "test": [], "val": [], None: []}
    for folder in place.folders:
        roles[split_role(folder.name)].append(folder)
    named = [*roles["train"], *roles["test"], *roles["val"]]
    if not named:
        return None
    where = f"Folder {str(place.path)!r} has {_names(named)}"
    if not roles["train"]:
        raise ValueError(
            f"{where}, as splits are called, but none named 'train'. Call the folder of the training "
            "images so; if these are classes, give them other names."
        )
    train_way = _look_through(place.enter(_only(roles["train"], place)), "train")
    classes = {alike(folder.name) for folder in train_way[-1].folders}
    for role in ("test", "val"):
        if not roles[role]:
            continue
        test_way = _look_through(place.enter(_only(roles[role], place)), role)
        # What is to be predicted often lies in `test`, without classes.
        if classes.isdisjoint(alike(folder.name) for folder in test_way[-1].folders):
            continue
        if test_way[0].chain == train_way[0].chain:
            raise ValueError(f"{where}, which are one and the same folder, by a link.")
        used = (train_way[0].path, test_way[0].path)
        listing.leave_out(folder for folder in place.folders if folder not in used)
        listing.pass_through((*train_way, *test_way))
        return train_way[-1], test_way[-1]
    raise ValueError(
        f"{where}, but none named 'test', 'val' or 'validation' that holds folders of the same "
        f"classes as {str(train_way[-1].path)!r}. Add one; or name that folder as the data set, and "
        "a fifth of its images are the test images. If these are classes, give them other names."
    )


def _only(folders: Sequence[Path], place: Place) -> Path:
    """The one folder of a split."""
    if len(folders) > 1:
        raise ValueError(
            f"Folder {str(place.path)!r} has {_names(folders)}, which may all be the same split. "
            "Rename or remove all but one."
        )
    return folders[0]


def _divide(place: Place, listing: Listing) -> tuple[Classes, Classes]:
    """Takes a fifth of the images of each class for the test."""
    _check_number(place)
    train, test = {}, {}
    for name, files in listing.classes(place).items():
        if len(files) < 2:
            raise ValueError(
                f"Class {name!r} in {str(place.path)!r} has only one image; it needs one to train "
                "and one to test with."
            )
        order = sorted(files, key=lambda file: _hash(file.relative_to(place.path)))
        num_test = max(1, len(files) // 5)
        train[name], test[name] = sorted(order[num_test:]), sorted(order[:num_test])
    return train, test


def _pair(train_place: Place, test_place: Place, listing: Listing) -> tuple[Classes, Classes]:
    """Lists the classes of both splits, called as the training folders are."""
    _check_number(train_place)
    train, test = listing.classes(train_place), listing.classes(test_place)
    names, test_names = ({alike(name): name for name in classes} for classes in (train, test))
    if names.keys() != test_names.keys():
        both = names | test_names
        raise ValueError(
            f"The classes in {str(train_place.path)!r} and {str(test_place.path)!r} differ by "
            f"{sorted(both[key] for key in names.keys() ^ test_names.keys())}."
        )
    return train, {name: test[test_names[key]] for key, name in names.items()}


def _check_number(place: Place) -> None:
    if len(place.folders) < 2:
        raise ValueError(
            f"Folder {str(place.path)!r} should hold one folder of images for each class, at least "
            f"two, but it holds {[folder.name for folder in place.folders] or 'none'}."
        )


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(sorted(repr(folder.name) for folder in folders))


def _hash(path: Path) -> str:
    # In one form, as a copy may be in another: macOS decomposes accents.
    name = unicodedata.normalize("NFC", path.as_posix())
    return hashlib.sha256(os.fsencode(name)).hexdigest()


def _file_source(classes: Classes, name: str) -> FileSource:
    counts = [len(files) for files in classes.values()]
    return FileSource(
        name=name,
        paths=tuple(file for files in classes.values() for file in files),
        labels=np.repeat(np.arange(len(classes), dtype=np.int32), counts),
        class_names=tuple(classes),
    )
