"""Many command lines, each in a process of its own, for the imports of one.

A process imports what the commands do, and forks for every line. Nothing has looked for devices then,
so that the environment of a line still decides about them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

PRELOADED = ("nasnet_jax.search.loop", "nasnet_jax.train.loop", "nasnet_jax.inference")
SECONDS = 60
"""For a line; it is killed then, as its status tells."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A command line.

    Attributes:
        words: The module and its arguments, as after `python -m`.
        environment: What is set besides; of JAX's own variables those of devices alone.
        folder: Where it runs.
    """

    words: tuple[str, ...]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    folder: str = "."


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command line ended: its exit status, negative after a signal, and what it printed."""

    status: int
    out: str
    err: str


def ended(lines: Sequence[Line]) -> list[Ended]:
    """Runs the lines, one after the other."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        input=json.dumps([dataclasses.asdict(line) for line in lines]),
        capture_output=True,
        text=True,
        timeout=60 + SECONDS * len(lines),
        check=True,
    )
    return [Ended(**fields) for fields in json.loads(done.stdout)]


def _serve() -> None:
    import importlib

    for name in PRELOADED:
        importlib.import_module(name)
    print(json.dumps([_forked(**fields) for fields in json.load(sys.stdin)]))


def _forked(words: list[str], environment: dict[str, str], folder: str) -> dict[str, int | str]:
    with tempfile.TemporaryDirectory() as outputs:
        files = [Path(outputs, name) for name in ("out", "err")]
        child = os.fork()
        if not child:
            signal.alarm(SECONDS)
            os._exit(become(words, environment, folder, files))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out, err = (file.read_text(encoding="utf-8") for file in files)
    return {"status": status, "out": out, "err": err}


def become(words: list[str], environment: dict[str, str], folder: str, files: list[Path]) -> int:
    """Makes a forked process that of a command line, with its outputs in files; returns its status."""
    import runpy
    import traceback

    import jax

    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    os.environ |= environment
    if platforms := environment.get("JAX_PLATFORMS"):
        # Imported already, JAX does not read it any more.
        jax.config.update("jax_platforms", platforms)
    os.chdir(folder)
    sys.argv = list(words)
    status = 0
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    _serve()
