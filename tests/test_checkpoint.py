from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pods import LOCAL_POD

from nasnet_jax import checkpoint, reading
from nasnet_jax.checkpoint import DAMAGED_FOLDER, remove_damaged, restore_newest

ARGS = ocp.args.StandardRestore({"x": np.zeros(3)})
DISCONNECTED = OSError(107, "Transport endpoint is not connected")


def save(manager: ocp.CheckpointManager, step: int, value: float) -> None:
    manager.save(step, args=ocp.args.StandardSave({"x": np.full(3, value)}))
    manager.wait_until_finished()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints 1 to 3, whose contents are their numbers."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    with ocp.CheckpointManager(folder) as manager:
        for step in (1, 2, 3):
            save(manager, step, float(step))
    return folder


@pytest.fixture
def manager(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ocp.CheckpointManager]:
    """A copy of them."""
    monkeypatch.setattr(reading, "WAITS", (0.01,) * 3)
    shutil.copytree(saved, tmp_path / "checkpoints")
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        yield manager


def files_of(manager: ocp.CheckpointManager, step: int) -> list[Path]:
    folder = Path(manager.directory) / str(step)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def damage(manager: ocp.CheckpointManager, step: int) -> None:
    for path in files_of(manager, step):
        path.write_bytes(b"?")


def put_aside(manager: ocp.CheckpointManager) -> list[str]:
    folder = Path(manager.directory).with_name(DAMAGED_FOLDER)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def fail(monkeypatch: pytest.MonkeyPatch, *errors: Exception, on: int = 3) -> None:
    """Lets the next attempts to restore a checkpoint fail."""
    restore, left = ocp.CheckpointManager.restore, list(errors)

    def instead(self: ocp.CheckpointManager, step: int, **arguments: Any) -> Any:
        if step == on and left:
            raise left.pop(0)
        return restore(self, step, **arguments)

    monkeypatch.setattr(checkpoint.CheckpointManager, "restore", instead)


def test_the_newest_is_restored(manager: ocp.CheckpointManager) -> None:
    step, restored = restore_newest(manager, ARGS)
    assert step == 3
    np.testing.assert_array_equal(restored["x"], np.full(3, 3.0))


def test_a_damaged_one_is_passed_over_and_kept_until_it_is_written_again(
    manager: ocp.CheckpointManager,
) -> None:
    damage(manager, 3)
    step, restored = restore_newest(manager, ARGS)
    assert step == 2
    np.testing.assert_array_equal(restored["x"], np.full(3, 2.0))
    assert sorted(manager.all_steps()) == [1, 2] and put_aside(manager) == ["3"]
    # The run may end before it has come so far again, more than once.
    remove_damaged(manager)
    assert restore_newest(manager, ARGS)[0] == 2 and put_aside(manager) == ["3"]
    save(manager, 3, 4.0)
    assert put_aside(manager) == ["3"]
    assert restore_newest(manager, ARGS)[1]["x"][0] == 4.0
    remove_damaged(manager)
    assert put_aside(manager) == []


def test_the_same_one_can_be_damaged_twice(manager: ocp.CheckpointManager) -> None:
    for value in (4.0, 5.0):
        damage(manager, 3)
        assert restore_newest(manager, ARGS)[0] == 2
        assert put_aside(manager) == ["3"]
        save(manager, 3, value)
    assert restore_newest(manager, ARGS)[1]["x"][0] == 5.0


@given(st.data())
def test_whatever_is_wrong_with_its_files_a_checkpoint_is_right_or_passed_over(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fault") / "checkpoints"
    shutil.copytree(saved, folder)
    with ocp.CheckpointManager(folder) as manager:
        path = data.draw(st.sampled_from(files_of(manager, 3)), "file")
        kind = data.draw(st.sampled_from(("gone", "short", "empty", "other", "folder")), "fault")
        content = path.read_bytes()
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind != "gone":
            kept = {
                "short": content[: len(content) // 2],
                "empty": b"",
                "other": b"?" * len(content),
            }
            path.write_bytes(kept[kind])
        step, restored = restore_newest(manager, ARGS)
        np.testing.assert_array_equal(restored["x"], np.full(3, float(step)))
        assert step == (2 if put_aside(manager) else 3)
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize(
    "errors",
    [
        (DISCONNECTED,),
        (DISCONNECTED,) * 3,
        (PermissionError(13, "Permission denied"), OSError(116, "Stale file handle")),
        # What stands for a file that the others, and a second look, see.
        (FileNotFoundError(2, "No such file or directory"),),
        (ValueError("NOT_FOUND: Error opening"),),
    ],
)
def test_an_error_that_passes_is_no_damage(
    manager: ocp.CheckpointManager, monkeypatch: pytest.MonkeyPatch, errors: tuple[Exception, ...]
) -> None:
    fail(monkeypatch, *errors)
    assert restore_newest(manager, ARGS)[0] == 3
    assert put_aside(manager) == []


@pytest.mark.parametrize("error", [DISCONNECTED, MemoryError("19 GB")])
def test_an_error_that_stays_ends_the_run_and_is_no_damage(
    manager: ocp.CheckpointManager, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    fail(monkeypatch, *(error,) * 20)
    with pytest.raises(type(error), match=re.escape(str(error))):
        restore_newest(manager, ARGS)
    assert sorted(manager.all_steps()) == [1, 2, 3] and put_aside(manager) == []


def test_a_file_that_cannot_be_opened_is_no_damage(manager: ocp.CheckpointManager) -> None:
    """Of which the libraries in between make errors of their own."""
    for path in files_of(manager, 3):
        path.unlink()
        path.symlink_to(path)  # Which nobody can open, root neither.
    with pytest.raises(
        OSError, match=r"Checkpoint 3 in .* cannot be read now.*Nothing was changed"
    ):
        restore_newest(manager, ARGS)
    assert (Path(manager.directory) / "3").exists() and put_aside(manager) == []


def test_if_none_can_be_read_all_are_left_and_named(manager: ocp.CheckpointManager) -> None:
    for step in (1, 2, 3):
        damage(manager, step)
    with pytest.raises(
        ValueError, match="Choose another --workdir(.|\n)*checkpoint 3(.|\n)*point 1"
    ):
        restore_newest(manager, ARGS)
    assert sorted(path.name for path in Path(manager.directory).iterdir()) == ["1", "2", "3"]


def test_there_may_be_none(tmp_path: Path) -> None:
    with ocp.CheckpointManager(tmp_path / "none") as manager:
        assert restore_newest(manager, ARGS) is None


def test_metrics_that_are_damaged_are_none(tmp_path: Path) -> None:
    options = ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics["a"])
    with checkpoint.CheckpointManager(tmp_path / "run", options=options) as manager:
        for step in (1, 2):
            manager.save(
                step, args=ocp.args.StandardSave({"x": np.zeros(3)}), metrics={"a": step / 10}
            )
    (tmp_path / "run" / "1" / "metrics" / "metrics").write_text("{")
    with checkpoint.CheckpointManager(tmp_path / "run", options=options) as again:
        assert again.metrics(1) is None and again.metrics(2) == {"a": 0.2}
        assert restore_newest(again, ARGS)[0] == 2


POD = """
import sys
import numpy as np
from nasnet_jax import distributed
distributed.initialize()
import jax
import orbax.checkpoint as ocp
from nasnet_jax import checkpoint, reading

reading.WAITS = (0.01,) * 3
process, folder = jax.process_index(), sys.argv[1]
restore, errors = ocp.CheckpointManager.restore, []
steps = ocp.CheckpointManager.all_steps


def failing(self, step, **arguments):
    if step == 3 and errors:
        raise errors.pop()
    return restore(self, step, **arguments)


checkpoint.CheckpointManager.restore = failing
broken = OSError(5, "I/O error")
passing, staying, damaged = [broken] * 2, [broken] * 99, [KeyError("x")] * 99
for title, failures in (
    ("passes for one", ([], passing)),
    ("stays for one", ([], staying)),
    ("damaged for the second", ([], damaged)),
    ("damaged for the first", (damaged, [])),
):
    errors[:] = failures[process]
    manager = checkpoint.CheckpointManager(folder)
    try:
        step, restored = checkpoint.restore_newest(
            manager, ocp.args.StandardRestore({"x": np.zeros(3)})
        )
        told = f"{step} {restored['x'][0]} {sorted(manager.all_steps())}"
    except OSError as error:
        told = str(error)
    print(f"{title}: {told}", flush=True)
"""


@pytest.mark.timeout(300)
def test_in_a_pod_the_first_process_decides_for_all(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "checkpoints")
    (tmp_path / "pod.py").write_text(POD)
    program = [sys.executable, str(tmp_path / "pod.py"), str(folder)]
    done = subprocess.run(
        [sys.executable, str(LOCAL_POD), "--processes=2", "--devices_per_process=1", "--", *program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=250, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    for process in (0, 1):
        told = re.findall(rf"^\[{process}\] ([a-z ]+): (.*)$", done.stdout, re.MULTILINE)
        said = dict(told)
        assert said["passes for one"] == "3 3.0 [1, 2, 3]"
        assert said["damaged for the first"] == "2 2.0 [1, 2]"
        whose = "cannot be read now: .*I/O error" if process else "cannot be read by process 1"
        assert re.search(whose, said["stays for one"])
        assert re.search("cannot be read by process 1", said["damaged for the second"])
    assert (tmp_path / DAMAGED_FOLDER / "3").exists()
