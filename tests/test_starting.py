"""Signals to a command that starts, by scripts that are quick because they know nothing of JAX."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pods import heeding_signals
from terminals import in_terminal

from nasnet_jax.starting import AGAIN_SECONDS, EXIT_CODE, SIGNALS

LIMIT = 20
"""Seconds that a script may take to end."""

# As a compilation does, the last line of these keeps the main thread from running anything of Python's.
STARTING = """
import hashlib, signal
from nasnet_jax.starting import Start
start = Start()
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
RUNNING = STARTING.replace("print", "start.end()\nprint")
IGNORING = STARTING.replace("start =", "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nstart =")

SAVING = """
import pathlib, signal, sys, time
from nasnet_jax.starting import Start
start = Start()
heard = []
signal.signal(signal.SIGHUP, lambda number, frame: heard.append(number))
start.end()
print("ready", flush=True)
while not heard:
    time.sleep(0.1)
time.sleep(0.5)
print("saved", flush=True)
print("and so on", file=sys.stderr, flush=True)
pathlib.Path(sys.argv[1]).touch()
"""


@contextlib.contextmanager
def running(script: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        heeding_signals([sys.executable, "-c", script]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_starting_ends_at_once(number: signal.Signals) -> None:
    with running(STARTING) as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == EXIT_CODE
    assert errors == f"The run was ended by {number.name}. The same command resumes it.\n"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_what_does_not_ask(number: signal.Signals) -> None:
    with running(RUNNING) as process:
        process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(AGAIN_SECONDS + 0.3)
        process.send_signal(number)
        assert process.wait(LIMIT) == 128 + number


@pytest.mark.timeout(60)
def test_two_signals_in_one_moment_are_one_wish() -> None:
    """A shell passes on the SIGHUP that a closed terminal has sent to all in it."""
    with running(RUNNING) as process:
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.1)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)


@pytest.mark.timeout(60)
def test_what_the_process_was_started_to_ignore_stays_ignored() -> None:
    with running(IGNORING) as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == EXIT_CODE


@pytest.mark.timeout(60)
def test_a_closed_terminal_ends_in_order(tmp_path: Path) -> None:
    """What is printed afterwards is no error."""
    saved = tmp_path / "saved"
    with in_terminal(heeding_signals([sys.executable, "-c", SAVING, str(saved)])) as (
        process,
        terminal,
    ):
        terminal.read_until("ready\r\n")
        terminal.close()
        assert process.wait(LIMIT) == 0
    assert saved.exists()
