from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nasnet_jax.cores import cgroup_limit, slurm_limit, usable_cores


def group(root: Path, version: int, path: str, quota: str, period: int = 100_000) -> None:
    """Writes the files of one control group."""
    if version == 2:
        (root / path).mkdir(parents=True, exist_ok=True)
        (root / path / "cpu.max").write_text(f"{quota} {period}\n")
    else:
        folder = root / "cpu" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        (folder / "cpu.cfs_period_us").write_text(f"{period}\n")


MEMBERSHIP = {1: "5:cpu,cpuacct:/{path}\n2:memory:/other\n", 2: "0::/{path}\n"}


def limit(root: Path, version: int, path: str) -> float:
    membership = root / "membership"
    membership.write_text(MEMBERSHIP[version].format(path=path))
    return cgroup_limit(root, membership)


@pytest.mark.parametrize("version", [1, 2])
def test_the_least_of_a_group_and_those_around_it_counts(tmp_path: Path, version: int) -> None:
    unlimited = {1: "-1", 2: "max"}[version]
    group(tmp_path, version, "a/b", unlimited)
    assert limit(tmp_path, version, "a/b") == math.inf
    group(tmp_path, version, "a", "250000")
    assert limit(tmp_path, version, "a/b") == 2.5
    group(tmp_path, version, "a/b", "150000", 300_000)
    assert limit(tmp_path, version, "a/b") == 0.5
    assert limit(tmp_path, version, "c") == math.inf


@pytest.mark.parametrize("version", [1, 2])
def test_in_a_container_the_mounted_root_is_the_processs_group(
    tmp_path: Path, version: int
) -> None:
    group(tmp_path, version, "", "400000")
    assert limit(tmp_path, version, "docker/1234") == 4


def test_without_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_limit(tmp_path, tmp_path / "none") == math.inf


def test_slurm_gives_a_process_less_than_its_node() -> None:
    node = {"SLURM_CPUS_ON_NODE": "64"}
    assert slurm_limit({}) == math.inf
    assert slurm_limit(node) == 64
    assert slurm_limit(node | {"SLURM_CPUS_PER_TASK": "8"}) == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="This system binds no process.")
def test_a_bound_process_has_the_cores_that_it_is_bound_to() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from nasnet_jax.platform import use_every_core; use_every_core()\n"
        "import jax; print(len(jax.devices()), os.environ['NPROC'])"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("JAX_NUM_CPU_DEVICES", "NPROC")
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["1", "1"]


def test_there_is_always_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "0")
    assert usable_cores() == 1
