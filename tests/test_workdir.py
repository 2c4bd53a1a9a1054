from __future__ import annotations

import contextlib
import json
import operator
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_collections
import pytest

from nasnet_jax.workdir import MayChange, Workdir, absolute_workdir, always

DATA: dict[str, Any] = {
    "classes": ["cat", "dog"],
    "train": {"images": 8, "content": "a"},
    "test": {"images": 2, "content": "b"},
}
MAY_CHANGE: MayChange = {"keep": always, "children": operator.le}


def configured(**changed: Any) -> ml_collections.ConfigDict:
    fields = {"seed": 1, "keep": 2, "children": 9, "dataset": {"name": "folder:a", "size": 8}}
    return ml_collections.ConfigDict(fields | changed)


def workdir(path: str | Path, config: ml_collections.ConfigDict | None = None) -> Workdir:
    config = configured() if config is None else config
    return Workdir(path, config, defaults=configured(), may_change=MAY_CHANGE)


@contextlib.contextmanager
def claimed(path: Path, config: ml_collections.ConfigDict | None = None) -> Iterator[Workdir]:
    place = workdir(path, config)
    place.check_data(DATA)
    with place.claimed():
        yield place


def begin(path: Path) -> None:
    """Leaves what a run leaves that was killed after its first checkpoint."""
    with claimed(path) as place:
        (path / "checkpoints" / "1").mkdir(parents=True)
        place.keep()


def contents(path: Path) -> dict[str, tuple[bytes, int]]:
    """All files with their times."""
    return {
        str(file): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in path.rglob("*")
        if file.is_file()
    }


def test_an_address_is_refused_and_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="'gs://bucket/run' is no folder.*mount the bucket"):
        workdir("gs://bucket/run")
    assert not list(tmp_path.iterdir())


def test_a_folder_stays_the_same_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_workdir("runs/../run") == tmp_path / "run"


def test_an_empty_workdir_is_not_the_current_folder() -> None:
    with pytest.raises(ValueError, match="empty text"):
        workdir("")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("run[1]", r"the characters \[\] in its name"),
        ("[old]/run", r"the characters \[\] in its name"),
        ("lr=0.1,*", r"the characters \* in its name"),
        ("what?", r"the characters \? in its name"),
        (os.fsdecode(b"caf\xe9"), "is not UTF-8"),
        ("/".join(["long"] * 800), "its path is longer than"),
        ("x" * 300, "cannot be written"),
        ("file", "cannot be written: .*file is no folder"),
        ("file/run", "cannot be written: .*file is no folder"),
        ("dangling", "cannot be written: .*dangling is no folder"),
    ],
)
def test_a_place_that_cannot_hold_a_run_is_refused_first(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=message):
        workdir(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "dangling"}


@pytest.mark.parametrize("name", ["a b%20c", "Käse", "run/", "link", "x" * 200, "a\nb", "~"])
def test_other_names_are_folders(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with claimed(tmp_path / name) as place:
        assert (place.path / "config.json").exists()
        place.keep()
    assert workdir(tmp_path / name).read("config.json") == configured().to_dict()


def test_a_second_run_in_a_workdir_is_refused(tmp_path: Path) -> None:
    with (
        claimed(tmp_path / "run"),
        pytest.raises(ValueError, match="is in use by another run, process"),
        claimed(tmp_path / "run"),
    ):
        pass
    with claimed(tmp_path / "run") as again:
        assert again.path == tmp_path / "run"


def test_another_folder_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    with pytest.raises(ValueError, match="is not the folder of a run"):
        workdir(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_run_that_was_killed_in_its_first_moment_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "run.lock").touch()
    (tmp_path / ".config.json.77.tmp").write_text('{"se')
    with claimed(tmp_path):
        assert (tmp_path / "config.json").exists()


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_that_fails_before_its_first_step_leaves_nothing(
    tmp_path: Path, exists: bool
) -> None:
    path = tmp_path / "run"
    if exists:
        path.mkdir()
    with pytest.raises(RuntimeError), claimed(path):
        (path / "checkpoints").mkdir()
        (path / "events").touch()
        raise RuntimeError
    assert path.exists() == exists
    assert not exists or not list(path.iterdir())


def test_after_its_first_step_a_run_leaves_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), claimed(tmp_path / "run") as place:
        (tmp_path / "run" / "events").touch()
        place.keep()
        raise RuntimeError
    assert (tmp_path / "run" / "events").exists()
    begin(tmp_path / "other")
    with pytest.raises(RuntimeError), claimed(tmp_path / "other"):
        raise RuntimeError
    assert (tmp_path / "other" / "config.json").exists()


def test_a_run_that_has_saved_nothing_gives_way_to_other_settings(tmp_path: Path) -> None:
    with claimed(tmp_path) as place:
        place.keep()  # And is killed.
    with claimed(tmp_path, configured(seed=2)) as place:
        assert place.read("config.json")["seed"] == 2
        place.keep()
        (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    with pytest.raises(ValueError, match="seed: there 2, here 1"):
        workdir(tmp_path)


@pytest.mark.parametrize("name", ["history.csv", "summary.json", "model"])
def test_results_without_checkpoints_are_a_run(tmp_path: Path, name: str) -> None:
    with claimed(tmp_path) as place:
        place.keep()
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="seed: there 1, here 2"):
        workdir(tmp_path, configured(seed=2))


@pytest.mark.parametrize(
    "changed",
    [
        {"keep": 5},
        {"children": 12},
        {"dataset": {"name": "folder:/mnt/a", "size": 8}},
    ],
)
def test_what_does_not_change_a_run_may_change(tmp_path: Path, changed: dict[str, Any]) -> None:
    begin(tmp_path)
    before = contents(tmp_path)
    assert workdir(tmp_path, configured(**changed)).has_begun
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 2}, "seed: there 1, here 2"),
        ({"children": 6}, "children: there 9, here 6"),
        ({"new": 1}, "new: not there, here 1"),
        ({"dataset": {"name": "folder:a"}}, "dataset.size: there 8, not here"),
    ],
)
def test_another_configuration_is_refused_with_the_difference(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    begin(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=message):
        workdir(tmp_path, configured(**changed))
    assert contents(tmp_path) == before


def test_a_run_of_an_older_version_has_the_defaults_of_newer_fields(tmp_path: Path) -> None:
    begin(tmp_path)
    there = json.loads((tmp_path / "config.json").read_text())
    del there["keep"], there["dataset"]["size"]
    (tmp_path / "config.json").write_text(json.dumps(there))
    assert workdir(tmp_path).has_begun
    with pytest.raises(ValueError, match="dataset.size: not there, here 16"):
        workdir(tmp_path, configured(dataset={"name": "folder:a", "size": 16}))


def test_other_data_are_refused_with_the_difference(tmp_path: Path) -> None:
    begin(tmp_path)
    place = workdir(tmp_path)
    place.check_data(DATA)
    larger = DATA | {"train": {"images": 9, "content": "c"}}
    before = contents(tmp_path)
    refusal = "began with other data: there were 8 training images, now 9"
    with pytest.raises(ValueError, match=refusal):
        place.check_data(larger)
    with pytest.raises(ValueError, match=refusal), place.claimed():
        pass
    assert {name: kept for name, kept in contents(tmp_path).items() if "lock" not in name} == {
        name: kept for name, kept in before.items() if "lock" not in name
    }


def test_a_run_without_a_fingerprint_takes_it_on(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "data.json").unlink()
    # Nothing tells whether the data of another place would be the same.
    with pytest.raises(ValueError, match="dataset.name: there 'folder:a', here 'folder:b'"):
        workdir(tmp_path, configured(dataset={"name": "folder:b", "size": 8}))
    with claimed(tmp_path):
        pass
    assert json.loads((tmp_path / "data.json").read_text()) == DATA


@pytest.mark.parametrize("name", ["config.json", "data.json", "summary.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    begin(tmp_path)
    (tmp_path / name).write_text("{")
    with pytest.raises(ValueError, match=rf"{name} is damaged"):
        place = workdir(tmp_path)
        place.check_data(DATA)
        place.read("summary.json")


def test_refusals_say_why_and_changes_are_written_with_the_first_step(tmp_path: Path) -> None:
    begin(tmp_path)
    config = configured(seed=2, keep=5, dataset={"name": "folder:a", "size": 9})
    reasons = {"seed": "it is drawn from it", "dataset": "of other images"}
    with pytest.raises(ValueError, match=r"here 9 \(of other images\)\n  seed.*\(it is drawn"):
        Workdir(tmp_path, config, defaults=configured(), may_change=MAY_CHANGE, reasons=reasons)
    with claimed(tmp_path, configured(keep=5)) as place:
        assert place.read("config.json")["keep"] == 2
        place.keep()
    assert workdir(tmp_path).read("config.json")["keep"] == 5
