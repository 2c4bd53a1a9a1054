"""The search on pods of real processes: faults of one process, and other numbers of processes.

A start of a pod is mostly imports, ten seconds a process and core, so each start shows several things.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import ml_collections
import pytest
from pods import member, on_full_disk, pod_command, started

from nasnet_jax.preemption import EXIT_CODE
from nasnet_jax.progress import SearchProgress
from nasnet_jax.search.loop import run

Rows = Callable[[Path], list[dict[str, str]]]
LIMIT = 300
"""Seconds that one pod may take."""
ENDLESS = 3000
"""Children of a search that ends because it is told to: no signal comes too late. The first batches do
not depend on the number."""


def search_command(
    config: Path, workdir: Path, *, processes: int, devices: int, children: int
) -> list[str]:
    flags = [f"--config={config}", f"--workdir={workdir}", f"--config.num_children={children}"]
    return pod_command("nasnet_jax.search", *flags, processes=processes, devices=devices)


def has_children(workdir: Path, number: int) -> Callable[[], bool]:
    """Whether the history on disk has so many."""
    path = workdir / "history.csv"

    def reached() -> bool:
        return path.exists() and len(path.read_text(encoding="utf-8").splitlines()) > number

    return reached


def whole_checkpoints(workdir: Path) -> list[Path]:
    """Folders of the checkpoints that were finished."""
    return [path for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()]


def cut_short(checkpoint: Path) -> None:
    """Leaves half of every file of a checkpoint."""
    for path in checkpoint.rglob("*"):
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)


def unranked(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows as they are before the re-ranking, which comes after the search."""
    return [row | {"rerank_reward": "", "rerank_accuracy": ""} for row in rows]


@pytest.fixture(scope="module")
def told_to_end(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a pod of two processes, undisturbed until one of them was told to end."""
    workdir = tmp_path_factory.mktemp("pod") / "run"
    command = search_command(tiny_file, workdir, processes=2, devices=2, children=ENDLESS)
    with started(command, until=has_children(workdir, 9), limit=LIMIT) as pod:
        os.kill(member(pod, 1), signal.SIGTERM)
        output, _ = pod.communicate(timeout=LIMIT)
        assert pod.returncode == EXIT_CODE, output[-3000:]
    return workdir


def files(workdir: Path) -> set[str]:
    """What is in a workdir, without empty folders."""
    return {str(path.relative_to(workdir)) for path in workdir.rglob("*") if path.is_file()}


@pytest.mark.timeout(120)
def test_a_signal_to_one_process_ends_a_pod_that_compiles(tiny_file: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    command = search_command(tiny_file, workdir, processes=2, devices=1, children=ENDLESS)
    uncached = ["env", "JAX_ENABLE_COMPILATION_CACHE=false", *command]
    with started(uncached, until=(workdir / "config.json").exists, limit=60) as pod:
        time.sleep(2)
        told = time.monotonic()
        os.kill(member(pod, 1), signal.SIGTERM)
        output, _ = pod.communicate(timeout=60)
        assert pod.returncode == EXIT_CODE, output[-3000:]
    # Of which the last process takes two on purpose.
    assert time.monotonic() - told < 15
    for number in (0, 1):
        assert f"[{number}] The run was ended by SIGTERM to a process of the pod." in output
    # Removed by the first process if it lives long enough to miss the other one.
    assert files(workdir) <= {"config.json", "data.json", "run.lock"}


@pytest.mark.timeout(600)
def test_first_batch_is_that_of_one_process(
    told_to_end: Path, finished: Path, history_rows: Rows
) -> None:
    """Later batches follow from rewards, of which a last bit may differ (DESIGN 7)."""
    ours, alone = history_rows(told_to_end)[:3], history_rows(finished)[:3]
    assert [row["architecture"] for row in ours] == [row["architecture"] for row in alone]
    for one, other in zip(ours, alone, strict=True):
        # Three of the 300 held-out images.
        assert float(one["reward"]) == pytest.approx(float(other["reward"]), abs=0.0101)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_pod_resumes_exactly_after_every_fault(
    told_to_end: Path, tiny_file: Path, history_rows: Rows, tmp_path: Path
) -> None:
    """A full disk, the death of each process, and a checkpoint cut short, in one workdir."""
    workdir = tmp_path / "run"
    command = search_command(tiny_file, workdir, processes=2, devices=2, children=12)
    full = subprocess.run(
        on_full_disk(command), timeout=LIMIT, capture_output=True, text=True, check=False
    )
    assert full.returncode not in (0, EXIT_CODE), full.stdout[-3000:]
    assert not (workdir / "history.csv").exists()
    assert [path for path in workdir.iterdir() if path.name.startswith(".")] == []
    for victim, children in ((0, 3), (1, 6)):
        until = has_children(workdir, children)
        with started(command, until=until, limit=LIMIT) as pod:
            os.kill(member(pod, victim), signal.SIGKILL)
            killed = time.monotonic()
            pod.communicate(timeout=LIMIT)
            assert time.monotonic() - killed < 60
            assert pod.returncode not in (0, EXIT_CODE)
    newest = max(whole_checkpoints(workdir), key=lambda path: int(path.name))
    cut_short(newest)
    done = subprocess.run(command, timeout=LIMIT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    # Each process finds it out for itself, and all go back to the same one.
    for process in range(2):
        noticed = rf"\[{process}\] .*Checkpoint {newest.name} cannot be read, trying the one before"
        assert re.search(noticed, done.stdout), done.stdout[-3000:]
    rows, undisturbed = history_rows(workdir), history_rows(told_to_end)
    assert unranked(rows)[: len(undisturbed)] == undisturbed[: len(rows)]
    assert len(rows) == 12
    assert sum(row["rerank_reward"] != "" for row in rows) == 2


class Enough(Exception):
    """Ends a search in this process."""


@pytest.mark.timeout(600)
def test_one_process_goes_on_with_the_search_of_two(
    told_to_end: Path, tiny_config: ml_collections.ConfigDict, history_rows: Rows, tmp_path: Path
) -> None:
    workdir = shutil.copytree(told_to_end, tmp_path / "run")
    before = history_rows(workdir)

    def stop(progress: SearchProgress) -> None:
        if progress.children > len(before):
            raise Enough

    tiny_config.num_children = ENDLESS
    with pytest.raises(Enough):
        run(tiny_config, workdir, on_progress=stop)
    after = history_rows(workdir)
    assert after[: len(before)] == before and len(after) > len(before)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_four_processes_go_on_with_the_search_of_two(
    told_to_end: Path, tiny_file: Path, history_rows: Rows, tmp_path: Path
) -> None:
    workdir = shutil.copytree(told_to_end, tmp_path / "run")
    before = history_rows(workdir)
    command = search_command(tiny_file, workdir, processes=4, devices=1, children=ENDLESS)
    until = has_children(workdir, len(before) + 1)
    with started(command, until=until, limit=LIMIT) as pod:
        # To the first alone; in the fixture it is the other one, and another signal.
        os.kill(member(pod, 0), signal.SIGHUP)
        output, _ = pod.communicate(timeout=LIMIT)
        assert pod.returncode == EXIT_CODE, output[-3000:]
        assert "[0] The run was ended by SIGHUP. The same command resumes it." in output
    after = history_rows(workdir)
    assert after[: len(before)] == before and len(after) > len(before)
