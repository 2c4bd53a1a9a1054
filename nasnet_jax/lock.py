"""A run's hold on its workdir against other runs; it ends with the process, however that ends.

The operating system keeps the lock and takes it from a process that dies, on one machine and, over NFS,
between machines. Some file systems (gcsfuse) do not tell other machines of it. So the file also says who
holds it and counts on, and a holder on another machine is watched before its folder is taken over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

from absl import logging

from nasnet_jax.run_files import LOCK_FILE

BEAT_SECONDS = 20.0
"""From one sign of life of a holder to the next."""
SILENT_SECONDS = 120.0
"""Without a sign for so long, a holder on another machine is dead. gcsfuse may show a file as it was a
minute ago."""
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What a file system without locks answers."""


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Holds a folder inside the block.

    Args:
        folder: An existing one; gets `run.lock`, which is empty while nobody holds it.

    Raises:
        ValueError: If another run holds it, be it in this process.
        OSError: If the file cannot be written.
    """
    path = folder / LOCK_FILE
    descriptor, known = _open_locked(path)
    try:
        _watch_others(path, but=socket.gethostname() if known else None)
        os.truncate(descriptor, 0)
        _show_life(descriptor, 0)
        released = threading.Event()
        beating = threading.Thread(
            target=_beat, args=(descriptor, released), name="lock", daemon=True
        )
        beating.start()
        try:
            yield
        finally:
            released.set()
            beating.join()
            os.truncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _open_locked(path: pathlib.Path) -> tuple[int, bool]:
    """Opens the file and takes the operating system's lock.

    Returns:
        The file's descriptor, and whether the file system knows locks.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            known = _lock(descriptor, path)
            # A run that fails before its first step takes its folder's files away, this one too.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor, known
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: pathlib.Path) -> bool:
    """Takes the lock of the operating system; returns whether the file system has one."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _refusal(path) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _watch_others(path: pathlib.Path, *, but: str | None) -> None:
    """Returns when no holder can be alive, on machines other than this one.

    The line must change while it is watched: clocks of two machines are not compared.
    """
    line = path.read_text(encoding="utf-8")
    if not line or line.split()[0] == but:
        return
    logging.warning(
        "%s is held by %s, or was. Going on in %.0f s if there is no sign of life.",
        path,
        _holder(line),
        SILENT_SECONDS,
    )
    deadline = time.monotonic() + SILENT_SECONDS
    while time.monotonic() < deadline:
        # No file system that machines share says when a file of another one changes.
        time.sleep(min(1.0, SILENT_SECONDS / 10))
        now = path.read_text(encoding="utf-8")
        if not now:
            return
        if now != line:
            raise _refusal(path)


def _refusal(path: pathlib.Path) -> ValueError:
    line = path.read_text(encoding="utf-8") if path.exists() else ""
    return ValueError(
        f"The workdir {path.parent} is in use by another run, {_holder(line)}. "
        "Wait until it has ended, end it, or choose another --workdir."
    )


def _holder(line: str) -> str:
    """Who wrote the line, for people."""
    match line.split():
        case [host, process, _]:
            return f"process {process} on {host}"
    return "which is just starting or ending"


def _show_life(descriptor: int, beat: int) -> None:
    # In one piece and always of the same length: a reader sees the old line or the new one.
    line = f"{socket.gethostname()} {os.getpid()} {beat:09d}\n"
    os.pwrite(descriptor, line.encode(), 0)
    os.fsync(descriptor)


def _beat(descriptor: int, released: threading.Event) -> None:
    """Counts on, until the lock is given back."""
    beat = 0
    while not released.wait(BEAT_SECONDS):
        beat += 1
        # A disk that fails for a moment must not end the signs of life; the run meets it by itself.
        with contextlib.suppress(OSError):
            _show_life(descriptor, beat)
