from __future__ import annotations

from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

from nasnet_jax.checkpoint import restore_newest

ARGS = ocp.args.StandardRestore({"x": np.zeros(3)})


@pytest.fixture
def manager(tmp_path):
    """Checkpoints 1 to 3, whose contents are their numbers."""
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        for step in (1, 2, 3):
            manager.save(step, args=ocp.args.StandardSave({"x": np.full(3, float(step))}))
        manager.wait_until_finished()
        yield manager


def damage(manager: ocp.CheckpointManager, step: int) -> None:
    folder = Path(manager.directory) / str(step)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(b"?")


def test_the_newest_is_restored(manager):
    step, restored = restore_newest(manager, ARGS)
    assert step == 3
    np.testing.assert_array_equal(restored["x"], np.full(3, 3.0))


def test_a_damaged_one_is_passed_over_and_makes_place(manager, caplog):
    damage(manager, 3)
    step, restored = restore_newest(manager, ARGS)
    assert step == 2
    np.testing.assert_array_equal(restored["x"], np.full(3, 2.0))
    assert sorted(manager.all_steps()) == [1, 2]
    manager.save(3, args=ocp.args.StandardSave({"x": np.full(3, 4.0)}))
    manager.wait_until_finished()
    assert restore_newest(manager, ARGS)[1]["x"][0] == 4.0


def test_if_none_can_be_read_all_are_left_and_named(manager):
    for step in (1, 2, 3):
        damage(manager, step)
    with pytest.raises(ValueError, match="Choose another --workdir(.|\n)*checkpoint 3(.|\n)*point 1"):
        restore_newest(manager, ARGS)
    assert (manager.directory / "3").exists()


def test_there_may_be_none(tmp_path):
    with ocp.CheckpointManager(tmp_path / "none") as manager:
        assert restore_newest(manager, ARGS) is None
