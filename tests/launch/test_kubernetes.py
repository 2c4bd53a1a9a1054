"""The JobSets against the schema of Kubernetes, and the launcher against a kubectl that fails."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import subprocess
import sys
import warnings

import pytest
import yaml

LAUNCHER = pathlib.Path(__file__).resolve().parents[2] / "launch" / "kubernetes.py"
COMMAND = ["python", "-m", "nasnet_jax.search", '--config=it\'s "quoted": {a, b}.py']
KINDS = {
    "tpu": ["--accelerator=tpu-v5-lite-podslice", "--topology=4x4", "--nodes=4", "--devices=4",
            "--bucket=my-bucket", "--slices=2"],
    "gpu": ["--nodes=2", "--devices=8", "--claim=my-volume"],
}  # fmt: skip


def arguments(kind):
    return ["--name=run-1", f"--kind={kind}", f"--image=r/nasnet_jax:{kind}", *KINDS[kind]]


@pytest.fixture
def kubectl(tmp_path):
    """Replaces kubectl by a script; returns a function that launches."""

    def launch(*words, does="cat > $FAKE/stdin", command=COMMAND):
        program = tmp_path / "kubectl"
        record = 'printf "%q " "$@" >> $FAKE/calls; echo >> $FAKE/calls'
        program.write_text(f"#!/bin/bash\n{record}\n{does}\n")
        program.chmod(0o755)
        rest = ["--", *command] if command else []
        environment = os.environ | {
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "FAKE": str(tmp_path)
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, str(LAUNCHER), *words, "--poll=0.01", *rest],
            env=environment, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    launch.folder = tmp_path
    launch.calls = lambda: (tmp_path / "calls").read_text().splitlines()
    return launch


@pytest.fixture(params=list(KINDS))
def jobset(request, kubectl):
    """The manifest that kubectl gets."""
    done = kubectl("up", *arguments(request.param))
    assert done.returncode == 0, done.stderr
    assert "Left behind until deleted" in done.stdout
    return yaml.safe_load((kubectl.folder / "stdin").read_text())


def test_job_fits_the_schema_of_kubernetes(jobset):
    with warnings.catch_warnings():
        # The package still asks for its schemas in a way that Python will drop.
        warnings.simplefilter("ignore")
        import kubernetes_validate

        for job in jobset["spec"]["replicatedJobs"]:
            whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}}
            whole["spec"] = job["template"]["spec"]
            kubernetes_validate.validate(whole, "1.31", strict=True)
            whole["spec"]["no_such_field"] = 1
            with pytest.raises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(whole, "1.31", strict=True)


def test_jobset_runs_the_command_with_the_runs_workdir(jobset):
    assert jobset["kind"] == "JobSet" and jobset["metadata"]["name"] == "run-1"
    (job,) = jobset["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    assert spec["backoffLimit"] == 0 and spec["completionMode"] == "Indexed"
    (container,) = spec["template"]["spec"]["containers"]
    assert container["command"] == [*COMMAND, "--workdir=/storage/run-1"]
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert variables["JAX_COMPILATION_CACHE_DIR"] == "/storage/jax_cache"
    if "google.com/tpu" in container["resources"]["limits"]:
        assert job["replicas"] == 2 and spec["parallelism"] == 4
        assert variables["NASNET_JAX_DISTRIBUTED"] == "auto"
    else:
        assert variables["JAX_COORDINATOR_ADDRESS"] == "run-1-slice-0-0.run-1:8476"
        assert variables["JAX_NUM_PROCESSES"] == "2"
        assert "--xla_gpu_deterministic_ops=true" in variables["XLA_FLAGS"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_dry_run_applies_nothing(kubectl, kind):
    done = kubectl("up", *arguments(kind), "--dry-run")
    assert done.returncode == 0 and not (kubectl.folder / "calls").exists()
    text, command = done.stdout.rsplit("\n+ ", 1)
    assert yaml.safe_load(text)["kind"] == "JobSet"
    assert shlex.split(command) == ["kubectl", "apply", "--filename=-"]


def test_server_that_does_not_answer_is_asked_again(kubectl):
    lost = (
        "mkdir $FAKE/once 2>/dev/null && { echo 'connection refused' >&2; exit 1; }; echo created"
    )
    assert kubectl("up", *arguments("gpu"), does=lost).returncode == 0
    assert len(kubectl.calls()) == 2


def test_refusal_is_told_and_not_repeated(kubectl):
    done = kubectl("up", *arguments("gpu"), does="echo 'no matches for kind JobSet' >&2; exit 1")
    assert done.returncode == 1 and "no matches for kind" in done.stderr
    assert len(kubectl.calls()) == 1


@pytest.mark.parametrize(("end", "status"), [("Completed", 0), ("Failed", 1)])
def test_logs_are_followed_through_a_restart_to_the_end(kubectl, end, status):
    final = json.dumps({"status": {"conditions": [{"type": end, "status": "True"}]}})
    does = (
        'if [[ "$*" == *" jobset "* ]]; then\n'
        f"  mkdir $FAKE/a 2>/dev/null || mkdir $FAKE/b 2>/dev/null || {{ echo '{final}'; exit; }}\n"
        "  echo '{\"status\": {}}'\nelse echo a line; exit 1; fi"
    )
    done = kubectl("logs", "--name=run-1", does=does, command=None)
    assert done.returncode == status
    assert done.stdout.count("a line") == 2 and f"is {end}" in done.stdout


def test_delete_deletes_that_jobset(kubectl):
    words = ("delete", "--name=run-1", "--namespace=ns")
    assert kubectl(*words, command=None).returncode == 0
    assert kubectl.calls() == ["--namespace=ns delete jobset run-1 --ignore-not-found "]


def test_what_is_missing_is_named(kubectl):
    done = kubectl("up", "--name=run-1", "--kind=gpu", "--image=x")
    assert done.returncode == 2 and "needs nodes, devices, claim" in done.stderr
