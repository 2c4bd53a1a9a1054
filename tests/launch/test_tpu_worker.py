"""What runs on the workers of a TPU, with a home of its own and without mounting anything."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time

import pytest

WORKER = pathlib.Path(__file__).resolve().parents[2] / "launch" / "tpu_worker.sh"


@pytest.fixture
def worker(tmp_path):
    """Calls the script where storage is mounted and the package installed, so to speak."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("mountpoint", "python3"):
        (programs / name).write_text("#!/bin/sh\nexit 0\n")
        (programs / name).chmod(0o755)
    (tmp_path / "storage").mkdir()

    def call(*arguments, timeout=30):
        environment = {"HOME": str(tmp_path), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(
            ["bash", str(WORKER), *arguments],
            env=environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    call.home = tmp_path
    return call


def test_command_gets_workdir_and_variables_and_its_status_is_told(worker):
    code = 'echo "$NASNET_JAX_DISTRIBUTED $JAX_COORDINATOR_PORT $JAX_COMPILATION_CACHE_DIR $1"; exit 75'
    assert worker("start", "run-1", "t", "gs://b", "bash", "-c", code, "name").returncode == 0
    done = worker("follow", "run-1", "1")
    storage = worker.home / "storage"
    assert done.stdout.splitlines() == [
        f"auto 8476 {storage}/jax_cache --workdir={storage}/run-1",
        "tpu_worker: run-1 ended with status 75",
    ]
    assert worker("follow", "run-1", "2").stdout == "tpu_worker: run-1 ended with status 75\n"


def test_same_token_starts_once_and_another_one_again(worker):
    command = ("gs://b", "bash", "-c", "echo started")
    for token in ("first", "first", "second"):
        assert worker("start", "run-1", token, *command).returncode == 0
        worker("follow", "run-1", "1")
    assert worker("follow", "run-1", "1").stdout.count("started") == 2


def test_stop_lets_the_command_save(worker):
    code = "trap 'echo saved; exit 75' TERM; echo ready; while true; do sleep 0.1; done"
    worker("start", "run-1", "t", "gs://b", "bash", "-c", code)
    log = worker.home / "nasnet_jax_runs" / "run-1" / "log"
    while "ready" not in log.read_text():
        time.sleep(0.05)  # The command runs in the background: only its log tells how far it is.
    assert worker("stop", "run-1").returncode == 0
    lines = worker("follow", "run-1", "1").stdout.splitlines()
    assert lines[-2:] == ["saved", "tpu_worker: run-1 ended with status 75"]


def test_storage_that_is_no_storage_is_refused(worker):
    (worker.home / "bin" / "mountpoint").write_text("#!/bin/sh\nexit 1\n")
    worker("start", "run-1", "t", "/local/disk", "true")
    done = worker("follow", "run-1", "1")
    assert "Storage must be gs://BUCKET or HOST:/SHARE" in done.stdout
    assert "ended with status 2" in done.stdout


def test_follow_of_what_never_started_fails(worker):
    done = worker("follow", "run-1", "1")
    assert done.returncode == 1 and "never started" in done.stderr
