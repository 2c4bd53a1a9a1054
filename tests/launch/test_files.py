"""What can be said of the launchers' files without a cluster."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"
SHELL = sorted(LAUNCH.glob("*.sh"))
SKYPILOT = sorted(LAUNCH.glob("skypilot_*.yaml"))
PROGRAMS = sorted([*LAUNCH.glob("*.py"), *SHELL])


def shellcheck(*arguments, text=None):
    program = shutil.which("shellcheck", path=str(pathlib.Path(sys.executable).parent))
    assert program is not None, "The extra 'test' brings shellcheck: pip install '.[test]'."
    done = subprocess.run(
        [program, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def test_shell_scripts_pass_shellcheck():
    assert SHELL
    shellcheck(*map(str, SHELL))


@pytest.mark.parametrize("path", SKYPILOT, ids=lambda path: path.name)
def test_skypilot_scripts_pass_shellcheck(path):
    task = yaml.safe_load(path.read_text())
    # COMMAND is several words on purpose, and a variable in double quotes may hold a command.
    for part in ("setup", "run"):
        shellcheck("--shell=bash", "--exclude=SC2086,SC2155", "-", text=task[part])


@pytest.mark.parametrize("path", SKYPILOT, ids=lambda path: path.name)
def test_skypilot_tasks_fit_its_schema(path):
    schemas = pytest.importorskip("sky.utils.schemas", reason="skypilot is not installed")
    import jsonschema

    task = yaml.safe_load(path.read_text())
    jsonschema.validate(task, schemas.get_task_schema())
    jsonschema.validate(task["resources"], schemas.get_resources_schema())


@pytest.mark.parametrize("path", SKYPILOT, ids=lambda path: path.name)
def test_skypilot_tasks_recover_from_what_can_be_resumed(path):
    from nasnet_jax.distributed import INCOMPLETE_EXIT_CODE
    from nasnet_jax.preemption import EXIT_CODE

    task = yaml.safe_load(path.read_text())
    codes = task["resources"]["job_recovery"]["recover_on_exit_codes"]
    assert {EXIT_CODE, INCOMPLETE_EXIT_CODE} <= set(codes)
    assert "--workdir=/storage/$RUN" in task["run"]
    assert ("xla_gpu_deterministic_ops" in task["run"]) == ("gpu" in path.name)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_help_shows_how_to_call(path):
    program = "bash" if path.suffix == ".sh" else sys.executable
    done = subprocess.run(
        [program, str(path), "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    assert path.name in done.stdout
    if path.name != "tpu_worker.sh":
        assert "--dry-run" in done.stdout


def test_image_copies_what_exists():
    copies = re.findall(r"^COPY (.+) \S+$", (LAUNCH / "Dockerfile").read_text(), re.MULTILINE)
    assert copies
    for source in " ".join(copies).split():
        assert (ROOT / source).exists(), source
