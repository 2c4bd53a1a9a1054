"""A training that is stopped and started again: what goes on, what is left alone, what is refused."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_collections
import orbax.checkpoint as ocp
import pytest

from nasnet_jax import checkpoint, reading
from nasnet_jax.progress import TrainProgress
from nasnet_jax.space import parse_architecture
from nasnet_jax.train import loop
from nasnet_jax.train.evaluation import Evaluation
from nasnet_jax.train.loop import Training, run
from nasnet_jax.train.program import TrainState

TINY = Path(__file__).parents[1] / "helpers" / "tiny_training.py"
BEST, LAST = 12, 34
"""Steps."""
OTHER = "normal: conv_3x3(0)+identity(1); reduction: conv_1x1(0)+identity(1)"


def make_config() -> ml_collections.ConfigDict:
    spec = importlib.util.spec_from_file_location("tiny_training", TINY)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.epochs, config.checkpoint_epochs = 6, 0.5
    config.checkpoints_to_keep, config.best_checkpoints_to_keep = 1, 1
    return config


@pytest.fixture(scope="module", autouse=True)
def best_early() -> Iterator[None]:
    """Accuracies that rise until step `BEST` and fall from there on."""
    evaluate = Training._evaluate

    def instead(self: Training, state: TrainState) -> Evaluation:
        return dataclasses.replace(evaluate(self, state), top1=1 / (1 + abs(self.step - BEST)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_evaluate", instead)
        yield


def summary_of(workdir: Path) -> dict[str, Any]:
    return json.loads((workdir / "summary.json").read_text(encoding="utf-8"))


def contents(workdir: Path) -> dict[str, tuple[bytes, int]]:
    """All files with their times, but for the lock."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in workdir.rglob("*")
        if path.is_file() and path.name != "run.lock"
    }


def steps_of(workdir: Path) -> list[int]:
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


class Stopped(Exception):
    """Stands for whatever ends a process."""


def stopped_after(step: int) -> Callable[[TrainProgress], None]:
    def stop(progress: TrainProgress) -> None:
        if progress.step > step:
            raise Stopped

    return stop


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a training that nothing disturbed."""
    # No name but a pattern's is in the way.
    workdir = tmp_path_factory.mktemp("straight") / "Käse & %20, zweiter Lauf"
    run(make_config(), workdir)
    return workdir


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a training of `best_architecture.json` that was killed after its best step."""
    folder = tmp_path_factory.mktemp("halfway")
    config = make_config()
    parse_architecture(config.architecture).save(folder / "best_architecture.json")
    config.architecture = str(folder / "best_architecture.json")
    with pytest.raises(Stopped):
        run(config, folder / "run", on_progress=stopped_after(BEST))
    return folder / "run"


def config_of(workdir: Path) -> ml_collections.ConfigDict:
    config = make_config()
    config.architecture = json.loads((workdir / "config.json").read_text())["architecture"]
    return config


def test_the_best_checkpoint_outlives_a_resume(
    straight: Path, halfway: Path, tmp_path: Path
) -> None:
    workdir = shutil.copytree(halfway, tmp_path / "run")
    assert steps_of(workdir)[0] == BEST
    summary, undisturbed = run(config_of(workdir), workdir), summary_of(straight)
    assert steps_of(workdir) == steps_of(straight) == [BEST, LAST]
    for name in ("best_test_accuracy", "test_accuracy", "test_loss", "train_loss", "steps"):
        assert summary[name] == undisturbed[name]
    assert summary["best_test_accuracy"] == 1.0 > summary["test_accuracy"]
    assert summary["images_per_second"] > 0 and summary["seconds"] > 0


def test_the_best_accuracy_is_known_without_its_checkpoint(halfway: Path, tmp_path: Path) -> None:
    config, workdir = config_of(halfway), shutil.copytree(halfway, tmp_path / "run")
    config.best_checkpoints_to_keep = 0
    assert run(config, workdir)["best_test_accuracy"] == 1.0
    assert steps_of(workdir) == [LAST]


def test_a_finished_training_is_left_as_it_is(
    straight: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    workdir, before = straight, contents(straight)
    monkeypatch.delattr(loop, "open_input")
    monkeypatch.delattr(loop, "TrainProgram")
    config = make_config()
    config.log_steps = 7
    assert run(config, workdir) == summary_of(workdir)
    assert f"The training in {workdir} is finished" in caplog.text
    assert contents(workdir) == before


def test_the_end_of_a_training_that_was_killed_at_its_end_is_made_up_for(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = shutil.copytree(straight, tmp_path / "run")
    (workdir / "summary.json").unlink()
    shutil.rmtree(workdir / "model")
    monkeypatch.delattr(loop, "DeviceFeed")
    monkeypatch.delattr(loop.Training, "_evaluate")
    again, undisturbed = run(make_config(), workdir), summary_of(straight)
    assert None not in again.values()
    for moving in ("seconds", "images_per_second", "input_wait_share"):
        # Until the last checkpoint.
        assert again.pop(moving) <= undisturbed.pop(moving) * 1.2
    assert again == undisturbed
    model = "model/model.json"
    assert (workdir / model).read_text() == (straight / model).read_text()


def test_the_workdirs_architecture_counts_when_its_file_has_moved_on(
    halfway: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workdir = shutil.copytree(halfway, tmp_path / "run")
    config = config_of(workdir)
    begun = parse_architecture(config.architecture)
    step = max(steps_of(workdir))

    def goes_on(named: str) -> None:
        config.architecture = named
        with pytest.raises(Stopped):
            run(config, workdir, on_progress=stopped_after(step))

    moving = Path(config.architecture)
    for change in (lambda: parse_architecture(OTHER).save(moving), moving.unlink):
        change()
        caplog.clear()
        goes_on(str(moving))
        assert f"goes on with the architecture in {workdir / 'architecture.json'}" in caplog.text
        assert parse_architecture(str(workdir / "architecture.json")) == begun
    for same in (str(workdir / "architecture.json"), begun.one_line()):
        goes_on(same)
    parse_architecture(OTHER).save(tmp_path / "other.json")
    for other in (OTHER, str(tmp_path / "other.json")):
        config.architecture = other
        before = contents(workdir)
        with pytest.raises(ValueError, match="This training began with the architecture in"):
            run(config, workdir)
        assert contents(workdir) == before


def test_read_errors_that_pass_cost_nothing(
    halfway: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = shutil.copytree(halfway, tmp_path / "run")
    restore, errors = ocp.CheckpointManager.restore, [OSError(116, "Stale file handle")] * 3

    def failing(self: ocp.CheckpointManager, step: int, **arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return restore(self, step, **arguments)

    monkeypatch.setattr(reading, "WAITS", (0.01,) * 3)
    monkeypatch.setattr(checkpoint.CheckpointManager, "restore", failing)
    first: list[int] = []

    def note(progress: TrainProgress) -> None:
        first.append(progress.step)
        raise Stopped

    with pytest.raises(Stopped):
        run(config_of(workdir), workdir, on_progress=note)
    assert first[0] > max(steps_of(halfway)) and not errors


def test_other_data_are_refused_before_anything_else(halfway: Path, tmp_path: Path) -> None:
    workdir = shutil.copytree(halfway, tmp_path / "run")
    before = contents(workdir)
    config = config_of(workdir)
    config.dataset.name = "fake"
    with pytest.raises(ValueError, match="began with other data: new classes: class 0"):
        run(config, workdir)
    assert contents(workdir) == before


def test_an_error_before_the_first_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise ValueError("An image is damaged.")

    monkeypatch.setattr(loop.DeviceFeed, "next", fail)
    with pytest.raises(ValueError, match="damaged"):
        run(make_config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
