"""The start of a run, reading, restoring and compiling, in which a signal finds nothing to save.

Python's handlers of signals wait until a compilation is over, which may take minutes. So the commands
that run for long hear of signals in a thread, which ends the process while it starts. From its first
step on a run ends by itself at its next safe place (`nasnet_jax.preemption`), and the thread ends it for
those who ask twice. Only the standard library is imported, so that this can come first.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

EXIT_CODE = 75
"""Exit status of a run that was asked to end and can be resumed (sysexits' EX_TEMPFAIL)."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""That ask a run to end."""

AGAIN_SECONDS = 1.0
"""A signal so soon after another one is the same wish: a terminal that is closed and the shell in it both
send SIGHUP, and some programs pass on a Ctrl-C that has reached their children already."""

POLL_SECONDS = 0.5
"""Between two questions whether another process of the pod was asked to end."""

FIRST_PROCESS_SECONDS = 2.0
"""In a pod the first process ends so much later: without it, JAX ends the others as failed."""


def heeded_signals() -> list[signal.Signals]:
    """`SIGNALS` without those that this process was started to ignore, as `nohup` does."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


class Start:
    """Hears signals as soon as it is made, by the main thread of a command."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = False
        self._first: tuple[signal.Signals, float] | None = None
        self._told: Callable[[float], bool] | None = None
        self._joined = 0.0
        self._is_first_process = False
        self._terminals = [number for number in range(3) if os.isatty(number)]
        self._pipe, end = os.pipe()
        os.set_blocking(end, False)
        signal.set_wakeup_fd(end, warn_on_full_buffer=False)
        for number in heeded_signals():
            # Signals with a handler in Python are written into the pipe, at once.
            signal.signal(number, _do_nothing)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def join_pod(self) -> None:
        """Hears of signals to the other processes, too. The pod is complete.

        Raises:
            ValueError: If JAX finds no devices.
        """
        from nasnet_jax.platform import find_devices
        from nasnet_jax.preemption import told_while_starting

        self._is_first_process = find_devices(local=True)[0].process_index == 0
        with self._lock:
            self._told = told_while_starting
            self._joined = time.monotonic()
        # Before JAX takes leave of the pod, after which it must not be asked. The last one goes first.
        atexit.register(self._leave_pod)

    def end(self) -> None:
        """From now on the run has something to save, and asks by itself whether it is to end."""
        with self._lock:
            self._ask_pod(math.inf)
            self._over = True

    def _listen(self) -> None:
        while True:
            readable, _, _ = select.select([self._pipe], [], [], POLL_SECONDS)
            numbers = os.read(self._pipe, 64) if readable else b""
            with self._lock:
                for number in numbers:
                    self._hear(signal.Signals(number))
                if not self._over:
                    self._ask_pod(time.monotonic() - self._joined)

    def _hear(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if number == signal.SIGHUP:
            self._leave_terminals()
        if self._first is None:
            self._first = number, now
        elif now - self._first[1] > AGAIN_SECONDS:
            os._exit(128 + number)
        if self._over:
            return
        if self._told is None:
            _end(number.name)
        # JAX's runtime tells all processes, this one too.
        os.kill(os.getpid(), signal.SIGTERM)

    def _ask_pod(self, seconds: float) -> None:
        if self._told is not None and self._told(seconds):
            who = self._first[0].name if self._first else "SIGTERM to a process of the pod"
            _end(who, after=FIRST_PROCESS_SECONDS if self._is_first_process else 0)

    def _leave_pod(self) -> None:
        with self._lock:
            self._told = None

    def _leave_terminals(self) -> None:
        """Nobody reads there any more, and to write would be an error."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in self._terminals:
            os.dup2(nowhere, number)
        os.close(nowhere)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """The thread does it."""


def _end(who: str, *, after: float = 0.0) -> NoReturn:
    # Not through Python's buffers, which the main thread may hold. Nobody may be reading.
    with contextlib.suppress(OSError):
        os.write(2, f"The run was ended by {who}. The same command resumes it.\n".encode())
    # A pod's first process goes last; see FIRST_PROCESS_SECONDS.
    time.sleep(after)
    os._exit(EXIT_CODE)
