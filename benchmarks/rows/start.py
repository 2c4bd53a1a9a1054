"""How long a search takes to its first step: the first time, and with the compilation cache filled."""

from __future__ import annotations

import pathlib
import subprocess
import tempfile
import time

from options import Options
from processes import HERE, environment, ours
from results import Row, row


def measure(options: Options) -> list[Row]:
    first, second = [], []
    for _ in range(options.pairs):
        with tempfile.TemporaryDirectory() as folder:
            first.append(start(pathlib.Path(folder), "first"))
            second.append(start(pathlib.Path(folder), "second"))
    return [
        row("first start of a search, to its first step", "s", first, details={"seconds": first}),
        row(
            "second start of the same search, imports included",
            "s",
            second,
            most=15.0,
            details={"seconds": second},
        ),
    ]


def start(folder: pathlib.Path, workdir: str) -> float:
    """Seconds from the start of the process to the end of its first step."""
    variables = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    started = time.perf_counter()
    subprocess.run(
        [ours(), "-m", "ours.first_step", str(folder / workdir)],
        cwd=HERE,
        env=environment(variables),
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started
