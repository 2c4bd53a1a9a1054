"""The cores that this process may use, which on shared machines are fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""What the job got for each process, where that was asked for, or on the whole node."""


def usable_cores() -> int:
    """The least of what the operating system, a container and Slurm allow; at least 1."""
    allowed = [_scheduled(), slurm_limit(os.environ), cgroup_limit()]
    return max(1, math.ceil(min(allowed)))


def slurm_limit(environment: Mapping[str, str]) -> float:
    """Cores of a Slurm job's process, whether Slurm binds it to them or not; infinite outside."""
    for name in _SLURM:
        if environment.get(name, "").isdigit():
            return float(environment[name])
    return math.inf


def cgroup_limit(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> float:
    """Cores that control groups let this process use, not always a whole number; or infinity.

    Args:
        root: Where the groups are mounted, of version 1 (in `cpu`) or 2.
        membership: The file of this process's groups.
    """
    return min((quota for group in _groups(root, membership) for quota in _quotas(group)),
               default=math.inf)  # fmt: skip


def _scheduled() -> int:
    if hasattr(os, "sched_getaffinity"):  # Not on macOS and Windows.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """The process's groups and those around them; in a container the root is the process's own."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 names no controllers.
        top = root / "cpu" if controllers else root
        yield top
        for part in Path(path.lstrip("/")).parts:
            top /= part
            yield top


def _quotas(group: Path) -> Iterator[float]:
    """The limits of a group, as far as it has any."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = [word for name in names for word in (group / name).read_text().split()]
        except OSError:
            continue
        quota, period = words
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)
