"""A search that is killed again and again is, in the end, the search that nobody disturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
import pytest
from equal_runs import assert_equal_runs
from sessions import Session, kill_at_random, newest_begun, serving, undisturbed

pytestmark = pytest.mark.long

TIMES = ("seconds", "children_per_hour", "idle_share", "compilations")
"""What a summary says of them, and of the last session alone."""

Rows = Callable[[Path], list[dict[str, str]]]


def command(config: Path, workdir: Path, batches: int) -> list[str]:
    """A search of batches that take a moment, so that it is killed in all that is around them."""
    return [
        "nasnet_jax.search",
        f"--config={config}",
        f"--workdir={workdir}",
        f"--config.num_children={3 * batches}",
        "--config.child.epochs=1",
        "--config.dataset.num_train=128",
        "--config.dataset.num_validation=64",
        "--config.checkpoints_to_keep=2",
    ]


def checkpoint_of(workdir: Path) -> Any:
    """The newest one, without the times of children."""
    folder = workdir / "checkpoints" / str(newest_begun(workdir))
    with ocp.StandardCheckpointer() as checkpointer:
        strategy, history = (
            checkpointer.restore(folder / name) for name in ("strategy", "history")
        )
    del history["seconds"], history["effort"]
    return strategy, history


def assert_equal(workdir: Path, expected: Path, history_rows: Rows) -> None:
    assert history_rows(workdir) == history_rows(expected)
    best = "best_architecture.json"
    assert (workdir / best).read_bytes() == (expected / best).read_bytes()
    assert_equal_runs(workdir, expected, checkpoint_of, TIMES)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("processes", "kills", "batches"), [(1, 24, 36), (2, 6, 12)])
def test_kills_at_random_moments_change_nothing(
    tiny_file: Path,
    history_rows: Rows,
    tmp_path: Path,
    processes: int,
    kills: int,
    batches: int,
) -> None:
    expected, workdir = tmp_path / "undisturbed", tmp_path / "killed"
    with serving(tmp_path, devices=4 // processes) as server:
        words = command(tiny_file, expected, batches)
        pace = undisturbed(server, words, expected, processes=processes)
        words = command(tiny_file, workdir, batches)
        kill_at_random(
            server, words, workdir, pace, processes=processes, kills=kills, seed=processes
        )
        # And after the search, while the best are ranked and the winner is written.
        for moment in (
            lambda: newest_begun(workdir) > batches,
            lambda: any(path.name.startswith((".model", "model")) for path in workdir.iterdir()),
        ):
            session = Session(server, words, processes=processes)
            session.wait_for(moment)
            session.kill(at_the_end=True)
        Session(server, words, processes=processes).finish()
    assert_equal(workdir, expected, history_rows)


@pytest.mark.timeout(900)
def test_several_children_a_device_are_the_same_on_any_number_of_devices(
    tiny_file: Path, history_rows: Rows, tmp_path: Path
) -> None:
    """Killed on two devices and on four, where every launch deals them otherwise, and ended on one."""
    expected, workdir = tmp_path / "undisturbed", tmp_path / "killed"
    together = ("--config.mesh.children_per_device=3", "--config.mesh.chunk=2")
    with serving(tmp_path, devices=1) as server:
        pace = undisturbed(
            server, [*command(tiny_file, expected, 8), *together], expected, processes=1
        )
    words = [*command(tiny_file, workdir, 8), *together]
    for devices in (2, 4):
        with serving(tmp_path, devices=devices) as server:
            kill_at_random(server, words, workdir, pace, processes=1, kills=2, seed=devices)
    with serving(tmp_path, devices=1) as server:
        Session(server, words).finish()
    assert_equal(workdir, expected, history_rows)
