"""What a benchmark found: rows of the table, kept as JSON with the machine they are from."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
from importlib import metadata
from typing import Any

import processes
from pairs import Spread, spread


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table.

    Attributes:
        what: What is measured.
        against: With what it is compared; empty for what is measured alone.
        unit: Of `value`: `x` for a ratio (above 1 where we are ahead), else `s`, `ms`, `MB`, `%`, ...
        value: The median.
        low, high: Its quartiles.
        least, most: The target, if there is one: at least or at most so much.
        aim: What is hoped for beyond it.
        details: All else worth keeping, the single measurements among it.
    """

    what: str
    against: str = ""
    unit: str
    value: float
    low: float
    high: float
    least: float | None = None
    most: float | None = None
    aim: float | None = None
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.least is not None:
            return self.value >= self.least
        return None if self.most is None else self.value <= self.most

    def text(self) -> str:
        """The row for people."""
        against = f" against {self.against}" if self.against else ""
        verdict = {True: "target met", False: "target MISSED", None: "no target"}[self.met]
        return (
            f"{self.what}{against}: {self.value:.4g} {self.unit} "
            f"({self.low:.4g} to {self.high:.4g}; {verdict}{target_text(self, ': ')})"
        )


def row(what: str, unit: str, found: Spread | list[float] | float, **fields: Any) -> Row:
    """A row from one number, several of them, or their spread."""
    if isinstance(found, int | float):
        found = Spread(found, found, found)
    elif isinstance(found, list):
        found = spread(found)
    return Row(what=what, unit=unit, value=found.median, low=found.low, high=found.high, **fields)


def target_text(row: Row, prefix: str = "") -> str:
    """The target for people, behind `prefix`; nothing where there is none."""
    if row.least is not None:
        aim = f", the aim is {row.aim:g}" if row.aim is not None else ""
        return f"{prefix}at least {row.least:g}{aim}"
    return "" if row.most is None else f"{prefix}at most {row.most:g}"


def machine() -> dict[str, Any]:
    """This machine, as far as it changes a measurement.

    A process of its own looks for accelerators, so that none is held while others measure.
    """
    code = (
        "import jax, json; d = jax.devices(); "
        "print(json.dumps([d[0].platform, d[0].device_kind, len(d)]))"
    )
    answer = subprocess.run(
        [processes.ours(), "-c", code], check=True, capture_output=True, text=True
    ).stdout
    name, kind, number = json.loads(answer.splitlines()[-1])
    return {
        "platform": name,
        "device": _processor() if name == "cpu" else kind,
        "devices": os.cpu_count() if name == "cpu" else number,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": metadata.version("jax"),
        "jaxlib": metadata.version("jaxlib"),
    }


def _processor() -> str:
    """The processor's name; Linux alone tells it."""
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def write(
    folder: pathlib.Path,
    name: str,
    rows: list[Row],
    where: dict[str, Any],
    *,
    load: float,
    replace: bool,
) -> None:
    """Keeps what a benchmark found as `NAME.json`.

    Args:
        folder: For the file.
        name: Of the benchmark.
        rows: That it found.
        where: The machine.
        load: How busy that was before.
        replace: Whether earlier rows of the file that were not measured now go; they do in any case
            if they are another machine's.
    """
    file = folder / f"{name}.json"
    if not replace and file.exists():
        earlier, content = read(file)
        if content["machine"] == where:
            found = {(one.what, one.against) for one in rows}
            rows = [one for one in earlier if (one.what, one.against) not in found] + rows
    commit = ""
    if shutil.which("git"):
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            cwd=processes.ROOT,
            check=False,
        ).stdout.strip()
    content = {
        "benchmark": name,
        "command": f"make bench BENCH={name}",
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit,
        "load_before": load,
        "arguments": sys.argv[1:],
        "machine": where,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1) + "\n")


def read(file: pathlib.Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a file, and all else in it."""
    content = json.loads(file.read_text())
    return [Row(**fields) for fields in content.pop("rows")], content
