"""A search that is stopped and started again: what goes on, what is left alone, what is refused."""

from __future__ import annotations

import concurrent.futures
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
import pytest

from nasnet_jax import checkpoint, reading
from nasnet_jax.inference.saved_model import read_model
from nasnet_jax.progress import SearchProgress
from nasnet_jax.search import loop
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.search.loop import run

Rows = Callable[[Path], list[dict[str, str]]]


def summary_of(workdir: Path) -> dict[str, Any]:
    return json.loads((workdir / "summary.json").read_text(encoding="utf-8"))


def contents(workdir: Path) -> dict[str, tuple[bytes, int]]:
    """All files with their times, but for the lock."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in workdir.rglob("*")
        if path.is_file() and path.name != "run.lock"
    }


@pytest.fixture
def unsummed(finished: Path, tmp_path: Path) -> Path:
    """A search that was killed between its last checkpoint and the summary of its end."""
    workdir = shutil.copytree(finished, tmp_path / "run")
    summary = summary_of(workdir) | {"finished": False}
    (workdir / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return workdir


class Stopped(Exception):
    """Stands for whatever ends a process in the middle of a call."""


@pytest.mark.parametrize("call", [1, 3])
def test_interrupted_search_resumes_to_the_same_history(
    finished: Path,
    tiny_config: ml_collections.ConfigDict,
    history_rows: Rows,
    tmp_path: Path,
    call: int,
) -> None:
    """In another thread than the main one, too, which cannot handle signals."""
    calls = 0

    def stop(progress: SearchProgress) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Stopped

    with pytest.raises(Stopped):
        run(tiny_config, tmp_path, on_progress=stop)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        summary = pool.submit(run, tiny_config, tmp_path).result()
    assert history_rows(tmp_path) == history_rows(finished)
    # Of both sessions.
    compilations = 2 if call == 3 else 1
    assert summary["compilations"] == compilations and summary["children_per_hour"] > 0


def test_a_finished_search_is_left_as_it_is(
    finished: Path,
    tiny_config: ml_collections.ConfigDict,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = contents(finished)
    monkeypatch.delattr(loop, "load_data")
    monkeypatch.delattr(ChildTrainer, "compile")
    tiny_config.checkpoints_to_keep = 1
    assert run(tiny_config, finished) == summary_of(finished)
    assert f"The search in {finished} is finished" in caplog.text
    assert contents(finished) == before
    assert not (finished / "run.lock").read_bytes()


def test_a_summary_that_is_missing_is_made_up_for_without_compiling(
    unsummed: Path,
    finished: Path,
    tiny_config: ml_collections.ConfigDict,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (unsummed / "summary.json").unlink()
    monkeypatch.delattr(ChildTrainer, "compile")
    whole, again = summary_of(finished), run(tiny_config, unsummed)
    for moving in ("seconds", "children_per_hour", "idle_share"):
        # What came after the last checkpoint is not counted.
        assert again.pop(moving) is not None and whole.pop(moving) is not None
    assert again == whole


def test_more_children_and_a_longer_and_broader_re_ranking_can_be_asked_for(
    unsummed: Path, finished: Path, tiny_config: ml_collections.ConfigDict, history_rows: Rows
) -> None:
    tiny_config.num_children = 11
    tiny_config.rerank.top_k, tiny_config.rerank.epochs = 3, 4
    assert run(tiny_config, unsummed)["children"] == 11
    rows, before = history_rows(unsummed), history_rows(finished)
    for old, new in zip(before, rows, strict=False):
        for name in ("rerank_reward", "rerank_accuracy"):
            del old[name]
        assert old.items() <= new.items()
    best = sorted(rows, key=lambda row: -float(row["reward"]))[:3]
    assert [row for row in rows if row["rerank_reward"]] == [row for row in rows if row in best]
    config = json.loads((unsummed / "config.json").read_text(encoding="utf-8"))
    assert config["rerank"] == {"top_k": 3, "epochs": 4} and config["num_children"] == 11
    assert run(tiny_config, unsummed) == summary_of(unsummed)
    architecture = read_model(unsummed)[0].architecture
    assert architecture.one_line() == summary_of(unsummed)["best_architecture"]
    with pytest.raises(ValueError, match="num_children: there 11, here 8 .what is trained"):
        tiny_config.num_children = 8
        run(tiny_config, unsummed)


def failing(times: int, error: Exception) -> Callable[..., Any]:
    """`CheckpointManager.restore`, that fails so many times."""
    restore, left = ocp.CheckpointManager.restore, [error] * times

    def instead(self: ocp.CheckpointManager, step: int, **arguments: Any) -> Any:
        if left:
            raise left.pop()
        return restore(self, step, **arguments)

    return instead


@pytest.mark.parametrize("times", [1, 3])
def test_a_read_error_that_passes_costs_nothing(
    unsummed: Path,
    tiny_config: ml_collections.ConfigDict,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
) -> None:
    steps = sorted(path.name for path in (unsummed / "checkpoints").iterdir())
    error = OSError(107, "Transport endpoint is not connected")
    monkeypatch.setattr(reading, "WAITS", (0.01,) * 3)
    monkeypatch.setattr(checkpoint.CheckpointManager, "restore", failing(times, error))
    monkeypatch.delattr(ChildTrainer, "compile")  # Nothing is trained again.
    assert run(tiny_config, unsummed)["finished"]
    assert sorted(path.name for path in (unsummed / "checkpoints").iterdir()) == steps


def test_a_read_error_that_stays_ends_the_search_and_changes_nothing(
    unsummed: Path, tiny_config: ml_collections.ConfigDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(unsummed)
    monkeypatch.setattr(reading, "WAITS", (0.01,) * 3)
    error = PermissionError(13, "Permission denied", "d/1")
    monkeypatch.setattr(checkpoint.CheckpointManager, "restore", failing(99, error))
    with pytest.raises(
        OSError, match=r"Checkpoint 4 in .* cannot be read now: .*Permission denied"
    ):
        run(tiny_config, unsummed)
    assert contents(unsummed) == before


def damage(folder: Path) -> None:
    """Cuts every file of a checkpoint short."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_checkpoint_gives_way_to_the_one_before(
    unsummed: Path,
    finished: Path,
    tiny_config: ml_collections.ConfigDict,
    history_rows: Rows,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.rmtree(unsummed / "model")
    steps = sorted(int(path.name) for path in (unsummed / "checkpoints").iterdir())
    damage(unsummed / "checkpoints" / str(steps[-1]))

    def stop(progress: SearchProgress) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        run(tiny_config, unsummed, on_progress=stop)
    assert f"Checkpoint {steps[-1]} cannot be read" in caplog.text
    # Until it is written again, it is not deleted.
    assert (unsummed / checkpoint.DAMAGED_FOLDER / str(steps[-1])).is_dir()
    run(tiny_config, unsummed)
    assert sorted(int(path.name) for path in (unsummed / "checkpoints").iterdir()) == steps
    assert not (unsummed / checkpoint.DAMAGED_FOLDER).exists()
    assert history_rows(unsummed) == history_rows(finished)
    jax.tree.map(np.testing.assert_array_equal, read_model(unsummed)[1:], read_model(finished)[1:])


def test_only_damaged_checkpoints_are_an_error(
    unsummed: Path, tiny_config: ml_collections.ConfigDict
) -> None:
    for folder in (unsummed / "checkpoints").iterdir():
        damage(folder)
    before = contents(unsummed)
    with pytest.raises(ValueError, match="No checkpoint in .* can be read"):
        run(tiny_config, unsummed)
    assert contents(unsummed) == before


def test_other_data_are_refused(unsummed: Path, tiny_config: ml_collections.ConfigDict) -> None:
    before = contents(unsummed)
    tiny_config.dataset.name = "fake"
    tiny_config.dataset.fake.num_train = tiny_config.dataset.fake.num_test = 10
    (unsummed / "config.json").write_text(tiny_config.to_json_best_effort(indent=2) + "\n")
    with pytest.raises(ValueError, match=r"other data: new classes: class 0, .*were 1437 training"):
        run(tiny_config, unsummed)
    changed = {path for path, kept in contents(unsummed).items() if before[path] != kept}
    assert changed == {str(unsummed / "config.json")}


def test_an_error_before_the_first_child_leaves_nothing(
    tiny_config: ml_collections.ConfigDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(trainer: ChildTrainer) -> None:
        raise MemoryError("RESOURCE_EXHAUSTED")

    monkeypatch.setattr(ChildTrainer, "compile", fail)
    with pytest.raises(MemoryError):
        run(tiny_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
