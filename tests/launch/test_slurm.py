"""The Slurm launcher against an sbatch, squeue, srun and scontrol that record what they were asked."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess

import pytest

LAUNCHER = pathlib.Path(__file__).resolve().parents[2] / "launch" / "slurm.sh"
COMMAND = ["python", "-m", "nasnet_jax.search", "--config=a file.py"]


class FakeSlurm:
    """A folder of programs; each writes its arguments to `calls`, one a line, then does as told."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("sbatch", "squeue", "srun", "scontrol"):
            self.does(name, "exit 0")

    def does(self, name, script):
        program = self.folder / name
        program.write_text(
            f'#!/bin/bash\nprintf "%q " {name} "$@" >> {self.folder}/calls\n'
            f"echo >> {self.folder}/calls\n{script}\n"
        )
        program.chmod(0o755)

    def calls(self, name):
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [words for line in lines if (words := shlex.split(line))[0] == name]

    def run(self, *arguments, **variables):
        environment = os.environ | {
            "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
            "SUBMIT_PAUSE": "0",
            **variables,
        }
        return subprocess.run(
            ["bash", str(LAUNCHER), *arguments],
            env=environment, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip


@pytest.fixture
def slurm(tmp_path):
    return FakeSlurm(tmp_path)


@pytest.fixture
def wanted(tmp_path):
    return ["--name=run-1", "--nodes=2", "--gpus=8", f"--workdir={tmp_path}/shared/run-1"]


def test_submits_one_process_a_gpu(slurm, wanted, tmp_path):
    slurm.does("sbatch", "echo 4711")
    done = slurm.run(*wanted, "--", "--partition=a100", "--", *COMMAND)
    assert done.returncode == 0, done.stderr
    assert "Job 4711" in done.stdout
    (call,) = slurm.calls("sbatch")
    assert {"--nodes=2", "--gres=gpu:8", "--ntasks-per-node=8", "--requeue"} <= set(call)
    assert "--partition=a100" in call and "--signal=TERM@120" in call
    assert call[-len(COMMAND) :] == COMMAND


def test_dry_run_prints_what_would_be_submitted(slurm, wanted):
    done = slurm.run(*wanted, "--dry-run", "--", *COMMAND)
    assert done.returncode == 0 and not (slurm.folder / "calls").exists()
    printed = shlex.split(done.stdout)
    slurm.run(*wanted, "--", *COMMAND)
    assert slurm.calls("sbatch")[0] == printed


def test_busy_controller_is_asked_again(slurm, wanted):
    slurm.does("sbatch", f"mkdir {slurm.folder}/once 2>/dev/null && exit 1; echo 4711")
    done = slurm.run(*wanted, "--", *COMMAND)
    assert done.returncode == 0 and len(slurm.calls("sbatch")) == 2


def test_refusal_ends_and_says_that_nothing_is_queued(slurm, wanted):
    slurm.does("sbatch", "echo 'invalid partition' >&2; exit 1")
    done = slurm.run(*wanted, "--", *COMMAND)
    assert done.returncode == 1
    assert "invalid partition" in done.stderr and "Nothing was submitted" in done.stderr
    assert len(slurm.calls("sbatch")) == 5


def test_job_that_is_queued_is_not_submitted_twice(slurm, wanted):
    slurm.does("squeue", "echo 42")
    done = slurm.run(*wanted, "--", *COMMAND)
    assert done.returncode == 2 and "job 42" in done.stderr
    assert slurm.calls("sbatch") == []


@pytest.mark.parametrize(
    ("status", "restarts", "requeued"),
    [(0, 0, False), (1, 0, False), (75, 0, True), (69, 0, True), (137, 0, True), (75, 3, False)],
)
def test_job_goes_back_into_the_queue_only_to_resume(slurm, status, restarts, requeued):
    slurm.does(
        "srun", f'echo "$JAX_COORDINATOR_PORT $XLA_FLAGS $NASNET_JAX_DISTRIBUTED"; exit {status}'
    )
    done = slurm.run(
        "run_job", "3", "/shared/run-1", *COMMAND,
        SLURM_JOB_ID="123456", SLURM_RESTART_COUNT=str(restarts), XLA_FLAGS="--other=1",
    )  # fmt: skip
    assert done.returncode == status
    assert done.stdout.splitlines()[0] == "23456 --xla_gpu_deterministic_ops=true --other=1 auto"
    assert slurm.calls("scontrol") == [["scontrol", "requeue", "123456"]] * requeued
    (call,) = slurm.calls("srun")
    assert call[-len(COMMAND) - 1 :] == [*COMMAND, "--workdir=/shared/run-1"]


@pytest.mark.parametrize(("asked_for", "passed_on"), [("7", ["--cpus-per-task=7"]), ("", [])])
def test_a_process_has_the_cores_that_the_job_asked_for(slurm, asked_for, passed_on):
    slurm.run(
        "run_job", "3", "/shared/run-1", *COMMAND, SLURM_JOB_ID="1", SLURM_CPUS_PER_TASK=asked_for
    )
    (call,) = slurm.calls("srun")
    assert [word for word in call if word.startswith("--cpus-per-task")] == passed_on
    assert call[-len(COMMAND) - 1 :] == [*COMMAND, "--workdir=/shared/run-1"]


@pytest.mark.parametrize("missing", range(4))
def test_what_is_missing_is_an_error(slurm, wanted, missing):
    del wanted[missing]
    done = slurm.run(*wanted, "--", *COMMAND)
    assert done.returncode == 2 and "are needed" in done.stderr
