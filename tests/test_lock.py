"""One run at a time holds a workdir, and none that is dead."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nasnet_jax import lock
from nasnet_jax.lock import locked
from nasnet_jax.run_files import LOCK_FILE

HOLD = """
import pathlib, sys, time
from nasnet_jax.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds `tmp_path`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def in_use_by(process: int, host: str = socket.gethostname()) -> str:
    return f"in use by another run, process {process} on {re.escape(host)}"


def test_a_second_run_of_the_same_process_is_refused(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(ValueError, match=rf"{tmp_path} is {in_use_by(os.getpid())}"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text().split()[1] == str(os.getpid())
    assert (tmp_path / LOCK_FILE).read_text() == ""


def test_an_error_gives_it_back(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), locked(tmp_path):
            raise KeyError


def test_a_lock_of_a_file_that_was_taken_away_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder took it away between the opening of the file and its lock."""
    flock, path = fcntl.flock, tmp_path / LOCK_FILE

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with (
        locked(tmp_path),
        pytest.raises(ValueError, match=in_use_by(os.getpid())),
        locked(tmp_path),
    ):
        pass


@pytest.mark.timeout(60)
def test_a_killed_process_leaves_no_lock_behind(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(ValueError, match=in_use_by(holder.pid)), locked(tmp_path):
        pass
    holder.kill()
    holder.wait(20)
    begun = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - begun < 5


@pytest.mark.timeout(60)
def test_a_process_that_stands_still_holds_it(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(ValueError, match=in_use_by(holder.pid)), locked(tmp_path):
        pass


def watched(tmp_path: Path, change: Callable[[Path], object] = lambda path: None) -> None:
    """Locks a folder that a process on another machine held, which does something meanwhile."""
    path = tmp_path / LOCK_FILE
    path.write_text("elsewhere 77 000000003\n")
    other = threading.Timer(0.3, change, [path])
    other.start()
    try:
        with locked(tmp_path):
            assert path.read_text().split()[0] == socket.gethostname()
    finally:
        other.join()


@pytest.mark.timeout(60)
def test_a_holder_on_another_machine_is_watched_for_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system has no lock between machines."""
    monkeypatch.setattr(lock, "SILENT_SECONDS", 1.0)
    begun = time.monotonic()
    watched(tmp_path)
    assert time.monotonic() - begun > 1
    monkeypatch.setattr(lock, "SILENT_SECONDS", 30.0)
    with pytest.raises(ValueError, match=in_use_by(77, "elsewhere")):
        watched(tmp_path, lambda path: path.write_text("elsewhere 77 000000004\n"))
    watched(tmp_path, lambda path: path.write_text(""))  # It has ended in order.


@pytest.mark.timeout(60)
def test_signs_of_life_alone_hold_it_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(lock, "SILENT_SECONDS", 30.0)
    with (
        locked(tmp_path),
        pytest.raises(ValueError, match=in_use_by(os.getpid())),
        locked(tmp_path),
    ):
        pass


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(OSError, match=LOCK_FILE), locked(tmp_path):
        pass
