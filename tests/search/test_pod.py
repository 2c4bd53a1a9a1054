"""The search on pods of real processes: faults of one process, and other numbers of processes."""

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

import pytest

from nasnet_jax.preemption import EXIT_CODE

Rows = Callable[[Path], list[dict[str, str]]]
LOCAL_POD = Path(__file__).resolve().parents[2] / "launch" / "local_pod.py"
LIMIT = 300
"""Seconds that one pod may take."""


def search(config: Path, workdir: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "nasnet_jax.search",
        f"--config={config}",
        f"--workdir={workdir}",
    ]


def pod_command(config: Path, workdir: Path, processes: int, devices: int) -> list[str]:
    pod = [f"--processes={processes}", f"--devices_per_process={devices}", "--"]
    return [sys.executable, str(LOCAL_POD), *pod, *search(config, workdir)]


def run_pod(config: Path, workdir: Path, processes: int, devices: int) -> None:
    command = pod_command(config, workdir, processes, devices)
    result = subprocess.run(command, timeout=LIMIT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


@contextlib.contextmanager
def started_pod(config: Path, workdir: Path) -> Iterator[subprocess.Popen[str]]:
    """A pod of two processes under way, whose first batch of children is in the history."""
    process = subprocess.Popen(
        pod_command(config, workdir, 2, 2),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + LIMIT
        while not (workdir / "history.csv").exists():
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


@pytest.fixture(scope="module")
def pod_finished(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a pod of two processes that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("pod") / "run"
    run_pod(tiny_file, workdir, 2, 2)
    return workdir


@pytest.mark.timeout(600)
def test_first_batch_is_that_of_one_process(
    pod_finished: Path, finished: Path, history_rows: Rows
) -> None:
    """Later batches follow from rewards, of which a last bit may differ (DESIGN 7)."""
    ours, alone = history_rows(pod_finished)[:3], history_rows(finished)[:3]
    assert [row["architecture"] for row in ours] == [row["architecture"] for row in alone]
    for one, other in zip(ours, alone, strict=True):
        # Three of the 300 held-out images.
        assert float(one["reward"]) == pytest.approx(float(other["reward"]), abs=0.0101)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", [0, 1])
def test_killed_process_ends_the_pod_which_resumes_exactly(
    pod_finished: Path, tiny_file: Path, history_rows: Rows, tmp_path: Path, victim: int
) -> None:
    workdir = tmp_path / "run"
    with started_pod(tiny_file, workdir) as pod:
        os.kill(member(pod, victim), signal.SIGKILL)
        killed = time.monotonic()
        pod.communicate(timeout=LIMIT)
        assert time.monotonic() - killed < 60
        assert pod.returncode not in (0, EXIT_CODE)
    run_pod(tiny_file, workdir, 2, 2)
    assert history_rows(workdir) == history_rows(pod_finished)


@pytest.mark.timeout(1200)
def test_one_process_told_to_end_saves_on_all_and_other_pods_go_on(
    pod_finished: Path, tiny_file: Path, history_rows: Rows, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    with started_pod(tiny_file, workdir) as pod:
        os.kill(member(pod, 1), signal.SIGTERM)
        output, _ = pod.communicate(timeout=LIMIT)
        assert pod.returncode == EXIT_CODE, output[-3000:]
    done = history_rows(workdir)
    assert 3 <= len(done) < 9
    # A search of two processes goes on as one of one, and as one of four.
    copy = tmp_path / "copy"
    shutil.copytree(workdir, copy)
    subprocess.run(search(tiny_file, workdir), check=True, timeout=LIMIT, capture_output=True)
    run_pod(tiny_file, copy, 4, 1)
    for resumed in (workdir, copy):
        rows = history_rows(resumed)
        assert len(rows) == 9
        assert [row["architecture"] for row in rows[: len(done)]] == [
            row["architecture"] for row in done
        ]
        assert sum(row["rerank_reward"] != "" for row in rows) == 2
