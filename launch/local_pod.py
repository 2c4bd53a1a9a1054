#!/usr/bin/env python3
"""Runs a command as a pod of several JAX processes on this machine, on its CPU.

    python launch/local_pod.py --processes=4 --devices_per_process=2 -- \\
        python -m nasnet_jax.search --config=configs/fake_data.py --workdir=DIR

Every line that a process writes is prefixed by its number. SIGTERM, SIGINT and SIGHUP are passed on
to all. When one process fails, the others get some time to end by themselves (a preempted run saves
and exits), then SIGTERM, then SIGKILL. The exit status is that of the process that failed first,
or 128 plus the number of the signal that ended it. It needs the standard library only.
"""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

POLL_SECONDS = 0.05
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def pod_environment(args: argparse.Namespace, port: int, process: int) -> dict[str, str]:
    """The variables that make a command one process of the pod."""
    return {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(args.devices_per_process),
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(args.processes),
        "JAX_PROCESS_ID": str(process),
    }


class LocalPod:
    """Processes that begin and end together."""

    def __init__(
        self, command: Sequence[str], environments: Sequence[dict[str, str]], *, grace: float
    ) -> None:
        self._command = command
        self._environments = environments
        self._grace = grace
        self._processes: list[subprocess.Popen[bytes]] = []
        self._readers: list[threading.Thread] = []
        self._writing = threading.Lock()

    def run(self) -> int:
        """Starts all, waits for all, and returns the exit status."""
        # What the pod was started to ignore, as by nohup, its processes ignore as well.
        heeded = [n for n in FORWARDED if signal.getsignal(n) is not signal.SIG_IGN]
        earlier = {number: signal.signal(number, self._forward) for number in heeded}
        try:
            for number, environment in enumerate(self._environments):
                self._start(number, environment)
            status = self._wait()
            for reader in self._readers:
                # Not for ever: what a process started in the background may hold its output open.
                reader.join(self._grace)
            return status
        finally:
            self._send(signal.SIGKILL)
            for process in self._processes:
                process.wait()
            for signal_number, handler in earlier.items():
                signal.signal(signal_number, handler)

    def _start(self, number: int, environment: dict[str, str]) -> None:
        # A session of its own, so that Ctrl-C reaches it once, from here.
        process = subprocess.Popen(
            self._command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._processes.append(process)
        reader = threading.Thread(target=self._copy_lines, args=(number, process), daemon=True)
        self._readers.append(reader)
        reader.start()

    def _copy_lines(self, number: int, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._print(f"[{number}] {line.decode(errors='replace').rstrip()}")

    def _print(self, line: str) -> None:
        with self._writing:
            try:
                print(line, flush=True)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                # The terminal is closed. The processes still save, and must not wait to be read.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self._send(number)

    def _send(self, number: int) -> None:
        """Sends a signal to every process, and what it started, that has not ended."""
        for process in self._processes:
            if process.poll() is None:
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    pass  # It ended between the question and the signal.

    def _wait(self) -> int:
        """Waits until all have ended; after the first failure it makes them."""
        first: int | None = None
        pending: list[tuple[float, signal.Signals]] = []
        while True:
            codes = [process.poll() for process in self._processes]
            if first is None:
                for number, code in enumerate(codes):
                    if code:
                        first = code if code > 0 else 128 - code
                        self._print(f"[pod] process {number} ended with {_describe(code)}")
                        now = time.monotonic()
                        pending = [
                            (now + self._grace, signal.SIGTERM),
                            (now + 2 * self._grace, signal.SIGKILL),
                        ]
                        break
            if all(code is not None for code in codes):
                return first or 0
            if pending and time.monotonic() >= pending[0][0]:
                number_of_signal = pending.pop(0)[1]
                self._print(f"[pod] {number_of_signal.name} to the processes that are left")
                self._send(number_of_signal)
            # There is no waiting for the first of several processes with a deadline besides.
            time.sleep(POLL_SECONDS)


def _describe(code: int) -> str:
    return f"exit status {code}" if code > 0 else signal.Signals(-code).name


def free_port() -> int:
    """A port on this machine that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; what comes after `--` is the command."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, required=True, help="how many")
    parser.add_argument(
        "--devices_per_process", type=int, default=1, help="CPU devices of each (default: 1)"
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=10.0,
        help="seconds that the others get to end by themselves after a failure, and again after "
        "SIGTERM (default: 10)",
    )
    parser.add_argument("--port", type=int, help="of the coordinator (default: a free one)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    parser.add_argument("command", nargs="+", help="what every process runs, after --")
    args = parser.parse_args(argv)
    if args.processes < 1 or args.devices_per_process < 1:
        parser.error("--processes and --devices_per_process must be at least 1.")
    return args


def main(argv: Sequence[str]) -> int:
    """Runs the pod, or prints what it would run."""
    args = parse(argv)
    port = args.port or free_port()
    environments = [pod_environment(args, port, number) for number in range(args.processes)]
    if args.dry_run:
        for environment in environments:
            words = [f"{name}={value}" for name, value in environment.items()]
            print(shlex.join(["env", *words, *args.command]))
        return 0
    return LocalPod(args.command, environments, grace=args.grace).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
