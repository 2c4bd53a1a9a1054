"""The cores that this process may use, which on shared machines are fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from nasnet_jax.cgroups import MEMBERSHIP, ROOT, control_groups, group_numbers

_SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""What the job got for each process, where that was asked for, or on the whole node."""


def usable_cores() -> int:
    """The least of what the operating system, a container and Slurm allow; at least 1."""
    return max(1, math.ceil(min(_scheduled(), slurm_limit(os.environ), cgroup_limit())))


def slurm_limit(environment: Mapping[str, str]) -> float:
    """Cores of a Slurm job's process, whether Slurm binds it to them or not; infinite outside."""
    for name in _SLURM:
        if environment.get(name, "").isdigit():
            return float(environment[name])
    return math.inf


def cgroup_limit(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float:
    """Cores that control groups let this process use, not always a whole number; or infinity.

    Args:
        root: As for `control_groups`.
        membership: Likewise.
    """
    limits = [math.inf]
    for group in control_groups("cpu", root, membership):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            if numbers := group_numbers(group, *names):
                quota, period = numbers
                limits.append(quota / period)
    return min(limits)


def _scheduled() -> int:
    if hasattr(os, "sched_getaffinity"):  # Not on macOS and Windows.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
