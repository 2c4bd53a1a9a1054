"""Ending a run on request, at the next safe place, on one machine and on a pod.

A single process handles SIGTERM and SIGINT itself. In a pod JAX's runtime has the handler (one in
Python would silence it): it tells all processes of the one that was told to end, and lets them agree
on the call after which they all stop.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Protocol

import jax
import orbax.checkpoint as ocp

EXIT_CODE = 75
"""Exit status of a run that was asked to end and can be resumed (sysexits' EX_TEMPFAIL)."""


class Preempted(Exception):
    """The run was asked to end; what it had finished is in its checkpoint."""

    exit_status = EXIT_CODE


class Preemption(Protocol):
    """What a loop asks between two compiled calls."""

    def check(self) -> None:
        """Raises Preempted if the run is to end here.

        In a pod, every process must call it equally often.
        """


class _OwnSignals:
    """Remembers that a signal came to this process."""

    def __init__(self) -> None:
        self._signal: int | None = None

    def check(self) -> None:
        if self._signal is not None:
            raise Preempted(f"The run was ended by {signal.Signals(self._signal).name}.")

    def request(self, number: int) -> None:
        self._signal = number


class _PodSignals:
    """Asks JAX's runtime, which hears of a signal to any process of the pod."""

    def __init__(self) -> None:
        self._asked = 0

    def check(self) -> None:
        self._asked += 1
        if ocp.multihost.reached_preemption(self._asked):
            raise Preempted("The run was ended by SIGTERM to a process of the pod.")


@contextlib.contextmanager
def preemption() -> Iterator[Preemption]:
    """Hears signals inside the block; alone, a second one has its usual effect.

    Only the main thread can: in another one, signals remain with whoever started it.
    """
    if jax.process_count() > 1:
        yield _PodSignals()
        return
    state = _OwnSignals()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
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
