"""The search on pods of real processes: faults of one process, and other numbers of processes.

A start of a pod is mostly imports, ten seconds a process and core, so each start shows several things.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ml_collections
import pytest

from nasnet_jax.preemption import EXIT_CODE
from nasnet_jax.search.loop import Progress, run

Rows = Callable[[Path], list[dict[str, str]]]
LOCAL_POD = Path(__file__).resolve().parents[2] / "launch" / "local_pod.py"
LIMIT = 300
"""Seconds that one pod may take."""
ENDLESS = 3000
"""Children of a search that ends because it is told to: no signal comes too late. The first batches do
not depend on the number."""


def pod_command(
    config: Path, workdir: Path, *, processes: int, devices: int, children: int
) -> list[str]:
    pod = [f"--processes={processes}", f"--devices_per_process={devices}", "--"]
    search = [f"--config={config}", f"--workdir={workdir}", f"--config.num_children={children}"]
    return [
        sys.executable, str(LOCAL_POD), *pod, sys.executable, "-m", "nasnet_jax.search", *search
    ]  # fmt: skip


def children_in(workdir: Path) -> int:
    """Children in the history as it is on disk."""
    path = workdir / "history.csv"
    return len(path.read_text(encoding="utf-8").splitlines()) - 1 if path.exists() else 0


@contextlib.contextmanager
def started(command: list[str], workdir: Path, *, until: int) -> Iterator[subprocess.Popen[str]]:
    """A pod under way whose history has so many children; whatever happens, it ends afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + LIMIT
        while children_in(workdir) < until:
            assert process.poll() is None, process.communicate()[0][-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        yield process
    finally:
        # The launcher ends its processes; SIGKILL would leave them.
        process.terminate()
        process.communicate()


def member(launcher: subprocess.Popen[str], number: int) -> int:
    """The process id of one process of a pod."""
    for line in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = line.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[1]) != launcher.pid:
                continue
            environment = (line.parent / "environ").read_bytes().split(b"\0")
            if f"JAX_PROCESS_ID={number}".encode() in environment:
                return int(line.parent.name)
    raise AssertionError(f"process {number} of the pod is not there")


def unranked(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows as they are before the re-ranking, which comes after the search."""
    return [row | {"rerank_reward": ""} for row in rows]


@pytest.fixture(scope="module")
def told_to_end(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a pod of two processes, undisturbed until one of them was told to end."""
    workdir = tmp_path_factory.mktemp("pod") / "run"
    command = pod_command(tiny_file, workdir, processes=2, devices=2, children=ENDLESS)
    with started(command, workdir, until=9) as pod:
        os.kill(member(pod, 1), signal.SIGTERM)
        output, _ = pod.communicate(timeout=LIMIT)
        assert pod.returncode == EXIT_CODE, output[-3000:]
    return workdir


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


@pytest.mark.timeout(900)
def test_killed_process_ends_the_pod_which_resumes_exactly(
    told_to_end: Path, tiny_file: Path, history_rows: Rows, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    command = pod_command(tiny_file, workdir, processes=2, devices=2, children=18)
    for victim, children in ((0, 3), (1, 6)):
        with started(command, workdir, until=children) as pod:
            os.kill(member(pod, victim), signal.SIGKILL)
            killed = time.monotonic()
            pod.communicate(timeout=LIMIT)
            assert time.monotonic() - killed < 60
            assert pod.returncode not in (0, EXIT_CODE)
    done = subprocess.run(command, timeout=LIMIT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    rows, undisturbed = history_rows(workdir), history_rows(told_to_end)
    assert unranked(rows)[: len(undisturbed)] == undisturbed[: len(rows)]
    assert len(rows) == 18
    assert sum(row["rerank_reward"] != "" for row in rows) == 2


class Enough(Exception):
    """Ends a search in this process."""


@pytest.mark.timeout(600)
def test_one_process_goes_on_with_the_search_of_two(
    told_to_end: Path, tiny_config: ml_collections.ConfigDict, history_rows: Rows, tmp_path: Path
) -> None:
    workdir = shutil.copytree(told_to_end, tmp_path / "run")
    before = history_rows(workdir)

    def stop(progress: Progress) -> None:
        if progress.children > len(before):
            raise Enough

    tiny_config.num_children = ENDLESS
    with pytest.raises(Enough):
        run(tiny_config, workdir, on_progress=stop)
    after = history_rows(workdir)
    assert after[: len(before)] == before and len(after) > len(before)


@pytest.mark.timeout(600)
def test_four_processes_go_on_with_the_search_of_two(
    told_to_end: Path, tiny_file: Path, history_rows: Rows, tmp_path: Path
) -> None:
    workdir = shutil.copytree(told_to_end, tmp_path / "run")
    before = history_rows(workdir)
    command = pod_command(tiny_file, workdir, processes=4, devices=1, children=ENDLESS)
    with started(command, workdir, until=len(before) + 1) as pod:
        pod.terminate()
        output, _ = pod.communicate(timeout=LIMIT)
        assert pod.returncode == EXIT_CODE, output[-3000:]
    after = history_rows(workdir)
    assert after[: len(before)] == before and len(after) > len(before)
