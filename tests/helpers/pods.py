"""Commands under way, also as pods of several processes on this machine, and signals to them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

LOCAL_POD = Path(__file__).resolve().parents[2] / "launch" / "local_pod.py"


def pod_command(
    module: str, *flags: str, processes: int, devices: int, grace: float = 10
) -> list[str]:
    """The command `python -m MODULE FLAGS` as a pod.

    Args:
        module: For example `nasnet_jax.train`.
        flags: Of the module.
        processes: In the pod.
        devices: Of each process.
        grace: Seconds that the others get after the failure of one.
    """
    pod = [f"--processes={processes}", f"--devices_per_process={devices}", f"--grace={grace}"]
    return [sys.executable, str(LOCAL_POD), *pod, "--", sys.executable, "-m", module, *flags]


def heeding_signals(command: Sequence[str]) -> list[str]:
    """The command with no signal ignored, as tests may have been started to: by `nohup`, or by `&`."""
    usual = (
        "import os, signal, sys; [signal.signal(n, signal.SIG_DFL) for n in (1, 2, 15)];"
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-S", "-c", usual, *command]


def on_full_disk(command: Sequence[str]) -> list[str]:
    """The command where every file ends at 4 kB: a write fails in the middle, as on a full disk."""
    return ["bash", "-c", 'ulimit -f 4; exec "$@"', "limited", *command]


def on_full_disk_of(process: int, pod: Sequence[str]) -> list[str]:
    """The pod's command where the disk is full, as `on_full_disk` does it, for one process alone.

    Args:
        process: Its number.
        pod: Of `pod_command`.
    """
    limited = f'if [ "$JAX_PROCESS_ID" = {process} ]; then ulimit -f 4; fi; exec "$@"'
    start = list(pod).index("--") + 1
    return [*pod[:start], "bash", "-c", limited, "limited", *pod[start:]]


@contextlib.contextmanager
def started(
    command: Sequence[str], *, until: Callable[[], bool], limit: float
) -> Iterator[subprocess.Popen[str]]:
    """A command under way, its output in one pipe; whatever happens, it has ended afterwards.

    Args:
        command: A pod, or anything else that ends in order when it gets SIGTERM.
        until: Whether the moment has come that the block waits for.
        limit: Seconds until then, at most.
    """
    with subprocess.Popen(
        heeding_signals(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            deadline = time.monotonic() + limit
            while not until():
                assert process.poll() is None, process.communicate()[0][-3000:]
                assert time.monotonic() < deadline
                time.sleep(0.005)  # A moment shows in the workdir only; nothing calls back.
            yield process
        finally:
            # The launcher ends its processes; SIGKILL would leave them. It must not find its pipe
            # closed while it does.
            process.terminate()
            if not process.stdout.closed:
                process.stdout.read()


def member(launcher: subprocess.Popen[str], number: int) -> int:
    """The process id of one process of a pod."""
    for line in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = line.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[1]) != launcher.pid:
                continue
            environment = (line.parent / "environ").read_bytes().split(b"\0")
            if f"JAX_PROCESS_ID={number}".encode() in environment:
                return int(line.parent.name)
    raise AssertionError(f"process {number} of the pod is not there")
