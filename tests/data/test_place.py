from __future__ import annotations

import os
from pathlib import Path

import pytest

from nasnet_jax.data.place import look_into


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


def test_files_and_folders_are_told_apart_by_what_links_lead_to(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "picture").touch()
    root = tmp_path / "root"
    (root / "real.png").mkdir(parents=True)  # A folder, however it is called.
    for name in ("b.JPG", "a.webp", "notes.txt", "none"):
        (root / name).touch()
    (root / "far").symlink_to(outside)
    (root / "c.png").symlink_to(outside / "picture")
    (root / "d.png").symlink_to("nowhere")
    (root / "e.png").symlink_to(root / "e.png")
    os.mkfifo(root / "pipe.png")
    place = look_into(root)
    assert names(place.folders) == ["far", "real.png"]
    assert names(place.images) == ["a.webp", "b.JPG", "c.png"]
    assert names(place.others) == ["none", "notes.txt", "pipe.png"]
    assert names(place.dangling) == ["d.png", "e.png"]


@pytest.mark.parametrize(
    "name", [".hidden", "._a.png", ".DS_Store", "__MACOSX", "Thumbs.db", "@eaDir", "lost+found"]
)
def test_what_systems_leave_is_not_seen(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / name).touch()
    place = look_into(tmp_path)
    assert names(place.folders) == ["sub"]
    inside = place.enter(place.folders[0])
    assert not (inside.folders or inside.images or inside.others or inside.dangling)


def test_walking_ends_and_meets_every_folder_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "b" / "self").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "side").symlink_to(tmp_path / "c")
    (tmp_path / "c" / "side").symlink_to(tmp_path / "a")
    place = look_into(tmp_path)
    met = [inner.path.resolve() for inner in place.walk()]
    assert sorted(met) == [tmp_path, tmp_path / "a", tmp_path / "a" / "b", tmp_path / "c"]
    # Seen from within, the folder around it is not a part of it.
    (inside, _) = place.folders
    assert tmp_path not in [inner.path.resolve() for inner in place.enter(inside).walk()]


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        look_into(tmp_path / "missing")
