from __future__ import annotations

from pathlib import Path

import ml_collections
import pytest

from nasnet_jax.workdir import absolute_workdir, claim_workdir


def test_an_address_is_refused_and_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(ValueError, match="'gs://bucket/run' is no folder.*mount the bucket"),
        claim_workdir("gs://bucket/run", ml_collections.ConfigDict()),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_stays_the_same_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_workdir("runs/../run") == tmp_path / "run"


def test_an_empty_workdir_is_not_the_current_folder() -> None:
    with pytest.raises(ValueError, match="empty text"), claim_workdir("", ml_collections.ConfigDict()):
        pass


def test_a_second_run_in_a_workdir_is_refused(tmp_path: Path) -> None:
    config = ml_collections.ConfigDict({"seed": 1})
    with (
        claim_workdir(tmp_path / "run", config) as folder,
        pytest.raises(ValueError, match="is in use by another run, process"),
        claim_workdir(tmp_path / "run", config),
    ):
        pass
    with claim_workdir(tmp_path / "run", config) as again:
        assert again == folder == tmp_path / "run"


def test_another_folder_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    with (
        pytest.raises(ValueError, match="is not the folder of a run"),
        claim_workdir(tmp_path, ml_collections.ConfigDict()),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_run_that_was_killed_in_its_first_moment_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "run.lock").touch()
    (tmp_path / ".config.json.77.tmp").write_text('{"se')
    with claim_workdir(tmp_path, ml_collections.ConfigDict({"seed": 1})):
        assert (tmp_path / "config.json").exists()
