"""A report that follows a search without holding it up."""

from __future__ import annotations

import os
import time

from nasnet_jax.report.page import write_report

SHARE_OF_TIME = 0.005
"""Of a search's time that may go into writing its report."""


class LiveReport:
    """Rewrites the report of a search as it goes on, as often as `SHARE_OF_TIME` allows."""

    def __init__(self, workdir: str | os.PathLike[str]) -> None:
        self._workdir = workdir
        self._next = 0.0

    def update(self) -> bool:
        """Writes the report, unless the last one was too recent.

        Call it when the history in the workdir has grown.

        Returns:
            Whether it was written.
        """
        started = time.monotonic()
        if started < self._next:
            return False
        write_report(self._workdir)
        ended = time.monotonic()
        self._next = ended + (ended - started) / SHARE_OF_TIME
        return True
