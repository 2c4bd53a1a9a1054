"""Worker processes, and where their interpreters, logs and caches are."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from absl import logging
from parity.environment import environment_python

T = TypeVar("T")

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = ROOT / ".cache" / "bench"
NO_CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
"""For processes whose compilation is measured."""

_LOG_LINES = 20


def ours() -> str:
    """The interpreter that has this project's requirements."""
    return sys.executable


def peers() -> str:
    """The interpreter that has the peers: of `BENCH_PEERS`, else installed if it is not there."""
    if "BENCH_PEERS" in os.environ:
        return os.environ["BENCH_PEERS"]
    return environment_python(CACHE / "venv", HERE / "requirements.txt")


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            (str(ROOT), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")]))
        ),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "JAX_COMPILATION_CACHE_DIR": str(CACHE / "jax"),
        # Several processes may share an accelerator.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        **extra,
    }


class Worker:
    """A process that runs `worker.serve`.

    Args:
        python: Its interpreter.
        module: Its module, for example `peers.torch_children`.
        settings: For its `prepare`.
        variables: Of its environment, besides the usual ones.

    Attributes:
        facts: What `prepare` said.
    """

    def __init__(
        self,
        python: str,
        module: str,
        settings: Mapping[str, Any],
        *,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._log = CACHE / "logs" / f"{module}-{os.getpid()}-{time.monotonic_ns()}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._module = module
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "-m", module, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=HERE,
                env=environment(variables or {}),
            )
        try:
            self.facts = self._receive()
        except BaseException:
            self.close()
            raise

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Sends a message and waits for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        return self._receive()

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            last = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            raise RuntimeError(
                "\n".join([f"{self._module} ended; its last words ({self._log}):", *last])
            )
        return json.loads(line)


def ask_all(workers: Sequence[Worker], messages: Sequence[Mapping[str, Any]]) -> list[dict]:
    """Asks several workers at the same time and waits for all."""
    with concurrent.futures.ThreadPoolExecutor(len(workers)) as pool:
        return list(pool.map(Worker.ask, workers, messages))


def start_all(
    python: str,
    module: str,
    settings: Sequence[Mapping[str, Any]],
    *,
    variables: Mapping[str, str] | None = None,
) -> list[Worker]:
    """Starts a worker for each of the settings, all at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(settings)) as pool:
        return list(
            pool.map(lambda one: Worker(python, module, one, variables=variables), settings)
        )


def start_each(
    python: str, module: str, settings: Sequence[Mapping[str, Any]]
) -> list[Worker | None]:
    """As `start_all`, but with None for workers that cannot start, of which the log tells."""

    def start(one: Mapping[str, Any]) -> Worker | None:
        return attempt(lambda: Worker(python, module, one), f"{module} with {one}")

    with concurrent.futures.ThreadPoolExecutor(len(settings)) as pool:
        return list(pool.map(start, settings))


def attempt(function: Callable[[], T], what: str) -> T | None:
    """What the function returns; None, and a line in the log, where its worker ended."""
    try:
        return function()
    except (RuntimeError, OSError) as error:
        logging.error("%s failed: %s", what, error)
        return None
