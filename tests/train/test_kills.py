"""A training that is killed again and again is, in the end, the training that nobody disturbed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
import pytest
import tiny_training
from equal_runs import assert_equal_runs
from sessions import Session, kill_at_random, newest_begun, serving, undisturbed

pytestmark = pytest.mark.long

TIMES = ("seconds", "images_per_second", "input_wait_share")
"""What a summary says of them."""


def command(workdir: Path, epochs: int) -> list[str]:
    """A training of short epochs, after each of which it saves, so that kills are around that."""
    return [
        "nasnet_jax.train",
        f"--config={tiny_training.__file__}",
        f"--workdir={workdir}",
        f"--config.epochs={epochs}",
        "--config.checkpoints_to_keep=2",
        "--config.best_checkpoints_to_keep=1",
    ]


def checkpoint_of(workdir: Path) -> Any:
    """The newest one, be it of a pod."""
    folder = workdir / "checkpoints" / str(newest_begun(workdir)) / "default"
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        return checkpointer.restore(folder, args=ocp.args.StandardRestore(fallback_sharding=here))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("processes", "kills", "epochs"), [(1, 24, 36), (2, 6, 12)])
def test_kills_at_random_moments_change_nothing(
    tmp_path: Path, processes: int, kills: int, epochs: int
) -> None:
    expected, workdir = tmp_path / "undisturbed", tmp_path / "killed"
    with serving(tmp_path, devices=4 // processes) as server:
        words = command(expected, epochs)
        pace = undisturbed(server, words, expected, processes=processes)
        words = command(workdir, epochs)
        kill_at_random(
            server, words, workdir, pace, processes=processes, kills=kills, seed=processes
        )
        # And when the last step is saved, but not the model.
        last = newest_begun(expected)
        session = Session(server, words, processes=processes)
        session.wait_for((workdir / "checkpoints" / str(last)).exists)
        session.kill(at_the_end=True)
        Session(server, words, processes=processes).finish()
    assert_equal_runs(workdir, expected, checkpoint_of, TIMES)
