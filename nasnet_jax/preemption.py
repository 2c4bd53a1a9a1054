"""Ending a run on request: SIGTERM and SIGINT become an exception at the next safe place."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

EXIT_CODE = 75
"""Exit status of a run that was asked to end and can be resumed (sysexits' EX_TEMPFAIL)."""


class Preempted(Exception):
    """The run was asked to end; what it had finished is in its checkpoint."""


class Preemption:
    """Remembers that a signal came, for a loop that asks between two compiled calls."""

    def __init__(self) -> None:
        self._signal: int | None = None

    def check(self) -> None:
        """Raises Preempted if a signal has come."""
        if self._signal is not None:
            raise Preempted(f"The run was ended by {signal.Signals(self._signal).name}.")

    def request(self, number: int) -> None:
        """Notes that this signal came."""
        self._signal = number


@contextlib.contextmanager
def preemption() -> Iterator[Preemption]:
    """Handles SIGTERM and SIGINT inside the block; a second signal has its usual effect."""
    state = Preemption()
    previous: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        state.request(number)
        signal.signal(number, previous[number])

    for number in (int(signal.SIGTERM), int(signal.SIGINT)):
        previous[number] = signal.signal(number, handle)
    try:
        yield state
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
