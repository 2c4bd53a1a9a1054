"""Linux' control groups, by which containers and clusters limit a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def control_groups(controller: str, root: Path = ROOT, membership: Path = MEMBERSHIP) -> list[Path]:
    """The folders of this process's groups and of those around them, whose limits count, too.

    Args:
        controller: `cpu` or `memory`.
        root: Where the groups of both versions are mounted. In a container it is itself the
            process's group.
        membership: The file of the process's groups.

    Returns:
        Folders that may not be there.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [group for line in lines for group in _around(line, controller, root)]


def _around(line: str, controller: str, root: Path) -> Iterator[Path]:
    _, controllers, path = line.split(":", 2)
    if controllers and controller not in controllers.split(","):
        return
    # Version 2 names no controllers.
    group = root / controller if controllers else root
    yield group
    for part in Path(path.lstrip("/")).parts:
        group /= part
        yield group


def group_numbers(group: Path, *names: str) -> list[int] | None:
    """The numbers in some files of a group, or None if they are not there or there is no limit."""
    try:
        words = [word for name in names for word in (group / name).read_text().split()]
    except OSError:
        return None
    return [int(word) for word in words] if all(map(str.isdigit, words)) else None
