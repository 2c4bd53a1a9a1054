"""Commands in a terminal of their own, which can be closed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

# A terminal sends its signals to the session that it controls.
_BECOME = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """What the command writes, until it is closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.output = ""

    def read_until(self, text: str, times: int = 1) -> None:
        """Waits until the command has written the text so often, with a terminal's ends of lines."""
        while self.output.count(text) < times:
            self.output += os.read(self._descriptor, 4096).decode()

    def close(self) -> None:
        """As closing its window does, also a second time."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


@contextlib.contextmanager
def in_terminal(command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    """The command under way in a terminal; afterwards both are gone."""
    ours, theirs = os.openpty()
    terminal = Terminal(ours)
    with subprocess.Popen(
        [sys.executable, "-c", _BECOME, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            yield process, terminal
        finally:
            terminal.close()
            process.kill()
