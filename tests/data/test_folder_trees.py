"""Random folders of images: what is found equals what was put there."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.data.folder import FileSource, open_folder

SPLITS = {
    "train": ["train", "Training", "TRAIN", "train_set", "trainimages"],
    "test": ["test", "Testing", "test-data", "Test1"],
    "val": ["val", "valid", "Validation", "dev", "eval_set"],
}
CLASSES = ["ant", "Bee", "cat", "d\u00f6g", "emu 2", "n01440764"]
READ = [".png", ".JPG", ".jpeg", ".webp", ".tif", ".bmp", ".gif", ".TIFF"]
NOT_READ = [".txt", ".heic", ".csv", ".json", ""]
HIDDEN = ["._1.png", ".DS_Store", "Thumbs.db", ".cache.jpg"]
HIDDEN_FOLDERS = [".ipynb_checkpoints", "__MACOSX", ".git"]
FOLDERS = ["", "a", "a/b", "2020"]
"""Within a class."""


@dataclasses.dataclass
class Class:
    """What is in the folder of a class: numbers of files, by the folder that they are in."""

    images: dict[str, list[str]]
    not_read: list[str]
    hidden: list[str]
    linked_images: int
    linked_folder: int
    hidden_folder: str | None
    link_back: bool
    is_link: bool

    @property
    def number(self) -> int:
        return sum(map(len, self.images.values())) + self.linked_images + self.linked_folder


classes = st.builds(
    Class,
    images=st.dictionaries(
        st.sampled_from(FOLDERS),
        st.lists(st.sampled_from(READ), min_size=2, max_size=4),
        min_size=1,
    ),
    not_read=st.lists(st.sampled_from(NOT_READ), max_size=2),
    hidden=st.lists(st.sampled_from(HIDDEN), max_size=2, unique=True),
    linked_images=st.integers(0, 2),
    linked_folder=st.integers(0, 2),
    hidden_folder=st.none() | st.sampled_from(HIDDEN_FOLDERS),
    link_back=st.booleans(),
    is_link=st.booleans(),
)


def of_names(names: list[str]) -> st.SearchStrategy[dict[str, Class]]:
    return st.fixed_dictionaries(dict.fromkeys(names, classes))


def write(root: Path, outside: Path, content: dict[str, Class]) -> None:
    """Writes the folders of classes; what links lead to lies outside of the data set."""
    for name, one in content.items():
        folder = root / name
        if one.is_link:
            root.mkdir(parents=True, exist_ok=True)
            folder.symlink_to(tempfile.mkdtemp(dir=outside))
        for inner, ends in one.images.items():
            (folder / inner).mkdir(parents=True, exist_ok=True)
            for number, end in enumerate(ends):
                (folder / inner / f"{number}{end}").touch()
        for number, end in enumerate(one.not_read):
            (folder / f"other{number}{end}").touch()
        for file in one.hidden:
            (folder / file).touch()
        target = Path(tempfile.mkdtemp(dir=outside))
        for number in range(one.linked_images):
            (target / f"file{number}").touch()
            (folder / f"link{number}.png").symlink_to(target / f"file{number}")
        (target / "images").mkdir()
        for number in range(one.linked_folder):
            (target / "images" / f"{number}.png").touch()
        (folder / "linked").symlink_to(target / "images")
        if one.hidden_folder is not None:
            (folder / one.hidden_folder).mkdir()
            (folder / one.hidden_folder / "1.png").touch()
        if one.link_back:
            (folder / "back").symlink_to(root)


def found(source: FileSource) -> dict[str, int]:
    counts = Counter(source.class_names[label] for label in source.labels)
    assert len({*source.paths}) == len(source)
    for path, label in zip(source.paths, source.labels, strict=True):
        assert source.class_names[label] in path.parts
    return dict(counts)


def expected(content: dict[str, Class]) -> dict[str, int]:
    return {name: one.number for name, one in content.items()}


names = st.lists(st.sampled_from(CLASSES), min_size=2, max_size=4, unique=True)
around = st.sampled_from(["", "data", "download/Images"])


@given(names.flatmap(of_names), around)
def test_without_splits_every_image_is_in_one_of_both(
    content: dict[str, Class], wrapper: str
) -> None:
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as outside:
        write(Path(root) / wrapper, Path(outside), content)
        train, test = open_folder(root)
    assert train.class_names == test.class_names == tuple(sorted(content))
    assert not {*train.paths} & {*test.paths}
    assert dict(Counter(found(train)) + Counter(found(test))) == expected(content)
    assert found(test) == {name: max(1, one.number // 5) for name, one in content.items()}


@given(
    names.flatmap(lambda chosen: st.tuples(*[of_names(chosen)] * 3)),
    st.fixed_dictionaries({role: st.sampled_from(spellings) for role, spellings in SPLITS.items()}),
    st.sampled_from(["test", "val", "both", "flat test"]),
    around,
)
def test_splits_in_any_spelling_are_taken_as_they_are(
    contents: tuple[dict[str, Class], ...], spelling: dict[str, str], kind: str, wrapper: str
) -> None:
    train_content, test_content, val_content = contents
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as outside:
        top = Path(root) / wrapper
        write(top / spelling["train"], Path(outside), train_content)
        if kind in ("test", "both"):
            write(top / spelling["test"], Path(outside), test_content)
        if kind != "test":
            write(top / spelling["val"], Path(outside), val_content)
        if kind == "flat test":
            (top / spelling["test"]).mkdir()
            (top / spelling["test"] / "1.png").touch()
        train, test = open_folder(root)
    assert train.class_names == test.class_names == tuple(sorted(train_content))
    assert found(train) == expected(train_content)
    assert found(test) == expected(test_content if kind in ("test", "both") else val_content)
