"""Sessions of one run, commands that are killed, for the imports of one.

A server imports what the commands do, and forks for every process. Nothing has looked for devices then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from command_lines import PRELOADED, become

LIMIT = 240
"""Seconds that a session may take."""
HEARTBEAT_SECONDS = 5
"""Silence after which a process of a pod counts as dead."""


class Server:
    """Starts processes, and knows how they ended."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._started = 0

    def ask(self, **request: Any) -> Any:
        """Sends a request and returns the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def new_output(self) -> Path:
        """A file for what a process writes."""
        self._started += 1
        return self._folder / f"{self._started}.txt"


@contextlib.contextmanager
def serving(folder: Path, *, devices: int) -> Iterator[Server]:
    """A server that keeps outputs in a folder, for processes of so many devices, which end with it."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Server(process, folder)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


class Session:
    """One start of a command, the module and its arguments as after `python -m`; alone or as a pod."""

    def __init__(self, server: Server, words: Sequence[str], *, processes: int = 1) -> None:
        self._server = server
        self._outputs = [server.new_output() for _ in range(processes)]
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        pod = {
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_NUM_PROCESSES": str(processes),
            "NASNET_JAX_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
        }
        self._processes = [
            server.ask(
                words=list(words),
                environment=pod | {"JAX_PROCESS_ID": str(number)} if processes > 1 else {},
                output=str(output),
            )
            for number, output in enumerate(self._outputs)
        ]

    def wait_for(self, moment: Callable[[], bool]) -> None:
        """Waits for a moment, before which the session must not end."""
        while not moment():
            ended = [self._server.ask(poll=process) for process in self._processes]
            assert ended == [None] * len(ended), self._end()
            time.sleep(0.002)  # A moment shows in the workdir only; nothing calls back.

    def finish(self) -> None:
        """Waits for the end, which is a good one."""
        statuses = [self._server.ask(wait=process) for process in self._processes]
        assert statuses == [0] * len(statuses), self._end()

    def kill(self, number: int = 0, *, at_the_end: bool = False) -> None:
        """Kills one process; the others cannot go on, and end by themselves.

        Args:
            number: Of the process.
            at_the_end: Whether all may have come to a good end before, just then.
        """
        os.kill(self._processes[number], signal.SIGKILL)
        statuses = [self._server.ask(wait=process) for process in self._processes]
        if not at_the_end:
            assert statuses[number] == -signal.SIGKILL and 0 not in statuses, self._end()

    def _end(self) -> str:
        return "\n".join(path.read_text(encoding="utf-8")[-3000:] for path in self._outputs)


def newest_begun(workdir: Path) -> int:
    """The number of the newest checkpoint, be it whole or not; 0 before there is one."""
    names = [re.match(r"\d+", path.name) for path in (workdir / "checkpoints").glob("*")]
    return max((int(name[0]) for name in names if name), default=0)


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long a session takes to its first checkpoint, and from one to the next, in seconds."""

    start: float
    step: float


def undisturbed(server: Server, words: Sequence[str], workdir: Path, *, processes: int) -> Pace:
    """Runs a command to its end."""
    session = Session(server, words, processes=processes)
    session.wait_for(lambda: _holder(workdir) != "")
    held = time.monotonic()
    session.wait_for(lambda: newest_begun(workdir) > 0)
    first, number = time.monotonic(), newest_begun(workdir)
    session.finish()
    return Pace(first - held, (time.monotonic() - first) / (newest_begun(workdir) - number))


def kill_at_random(
    server: Server,
    words: Sequence[str],
    workdir: Path,
    pace: Pace,
    *,
    processes: int,
    kills: int,
    seed: int,
) -> None:
    """Starts a command so often, and kills each session, or one process of it, at a random moment.

    Every other one within its start or the work up to its first checkpoint, and the others within a
    step after that was begun: most of them early, while it is written. None gets further.
    """
    rng = np.random.default_rng(seed)
    for kill in range(kills):
        before, begun = _holder(workdir), newest_begun(workdir)
        session = Session(server, words, processes=processes)
        if kill % 2:
            session.wait_for(lambda begun=begun: newest_begun(workdir) > begun)
            begun = newest_begun(workdir)
            seconds = rng.random() ** 2 * pace.step
        else:
            session.wait_for(lambda before=before: _holder(workdir) not in ("", before))
            seconds = rng.random() * (pace.start + pace.step)
        until = time.monotonic() + seconds
        session.wait_for(
            lambda begun=begun, until=until: (
                time.monotonic() > until or newest_begun(workdir) > begun
            )
        )
        session.kill(int(rng.integers(processes)))


def _holder(workdir: Path) -> str:
    """Who holds the workdir, or held it when it was killed."""
    path = workdir / "run.lock"
    return " ".join(path.read_text(encoding="utf-8").split()[:2]) if path.exists() else ""


def _serve() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(_answer(**json.loads(line))), flush=True)


def _answer(
    *,
    words: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    output: str = "",
    wait: int = 0,
    poll: int = 0,
) -> int | None:
    if not words:
        how = os.WEXITED | os.WNOWAIT | (0 if wait else os.WNOHANG)
        end = os.waitid(os.P_PID, wait or poll, how)
        return end and (end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)
    child = os.fork()
    if not child:
        signal.alarm(LIMIT)
        # In order, as processes of a pod take leave of each other then.
        sys.exit(become([*words], environment or {}, ".", [Path(output)] * 2))
    return child


if __name__ == "__main__":
    _serve()
