"""Own images in folders, one folder a class."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

_SIZES = 50_000
"""Files whose sizes are looked up for `FileSource.identity`; those of a million take seconds."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


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
        contents = np.array([self.paths[number].read_bytes() for number in numbers], dtype=object)
        return contents, self.labels[numbers]

    def identity(self) -> dict[str, Any]:
        """A hash of all labels and names of files, and of the sizes of all or of many of them."""
        listing = hashlib.sha256(self.labels.astype("<i4").tobytes())
        listing.update(os.fsencode("\0".join(path.name for path in self.paths)))
        some = self.paths[:: -(-len(self.paths) // _SIZES)]
        # A link that leads nowhere is told of by whoever reads it.
        sizes = [path.stat().st_size if path.exists() else None for path in some]
        listing.update(repr(sizes).encode())
        return {"listing": listing.hexdigest()}


def open_folder(path: str | os.PathLike[str]) -> tuple[FileSource, FileSource]:
    """Opens a folder of images: one folder for each class, its images anywhere below it.

    The classes stand either in the folder itself or in its folders `train` and `test` (or `val`, or
    `validation`). Without such folders a fifth of the images of each class, at least one, are the
    test images; the hashes of their names decide which, so they are the same on every machine.

    Returns:
        The training and the test images.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it does not hold at least two classes, if train and test hold different
            classes, or if a class has too few images.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {str(root)!r} of images.")
    tests = [root / name for name in ("test", "val", "validation") if (root / name).is_dir()]
    if (root / "train").is_dir():
        if not tests:
            raise ValueError(
                f"Folder {str(root)!r} has a folder 'train' but none named 'test', 'val' or "
                "'validation'. Add one, or put the folders of the classes into the folder itself."
            )
        train, test = _list_classes(root / "train"), _list_classes(tests[0])
        if train.keys() != test.keys():
            raise ValueError(
                f"The classes in {str(root / 'train')!r} and {str(tests[0])!r} differ by "
                f"{sorted(train.keys() ^ test.keys())}."
            )
    else:
        train, test = {}, {}
        for name, files in _list_classes(root).items():
            if len(files) < 2:
                raise ValueError(
                    f"Class {name!r} in {str(root)!r} has only one image; it needs one to train "
                    "and one to test with."
                )
            order = sorted(files, key=lambda file: _hash(file.relative_to(root)))
            num_test = max(1, len(files) // 5)
            train[name], test[name] = sorted(order[num_test:]), sorted(order[:num_test])
    name = f"folder:{root}"
    return _file_source(train, f"{name} (train)"), _file_source(test, f"{name} (test)")


def _list_classes(folder: Path) -> dict[str, list[Path]]:
    """Lists the images of each class, both in the order of their names."""
    classes = {}
    for subfolder in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        files = sorted(
            file for file in subfolder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES
        )
        if not files:
            raise ValueError(
                f"Folder {str(subfolder)!r} should hold the images of a class, but it has none "
                f"that end in {', '.join(IMAGE_SUFFIXES)}."
            )
        classes[subfolder.name] = files
    if len(classes) < 2:
        raise ValueError(
            f"Folder {str(folder)!r} should hold one folder of images for each class, at least "
            f"two, but it holds {sorted(classes) or 'none'}."
        )
    return classes


def _hash(path: Path) -> str:
    return hashlib.sha256(path.as_posix().encode()).hexdigest()


def _file_source(classes: dict[str, list[Path]], name: str) -> FileSource:
    counts = [len(files) for files in classes.values()]
    return FileSource(
        name=name,
        paths=tuple(file for files in classes.values() for file in files),
        labels=np.repeat(np.arange(len(classes), dtype=np.int32), counts),
        class_names=tuple(classes),
    )
