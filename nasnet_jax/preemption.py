"""Ending a run on request, at the next safe place, on one machine and on a pod.

A single process handles its signals itself. In a pod JAX's runtime has the handler of SIGTERM (one in
Python would silence it): it tells all processes of the one that was told to end, and lets them agree
on the call after which they all stop. Other signals are passed on to it as SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Protocol

import jax
import orbax.checkpoint as ocp

from nasnet_jax.starting import AGAIN_SECONDS, EXIT_CODE, POLL_SECONDS, heeded_signals

_START_CALLS = 20_000
"""Numbers of calls, of JAX's questions, for the time before the first step."""


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
        self._who = "SIGTERM to a process of the pod"

    def check(self) -> None:
        if _agreed.by(max(_agreed.asked, _START_CALLS) + 1):
            raise Preempted(f"The run was ended by {self._who}.")

    def request(self, number: int) -> None:
        self._who = signal.Signals(number).name
        os.kill(os.getpid(), signal.SIGTERM)


class _Agreed:
    """The call after which all processes of a pod end, the one after the furthest call of any.

    So that none misses it, each asks about every number, and in order.

    Attributes:
        asked: The last number that was asked about.
    """

    def __init__(self) -> None:
        self.asked = 0

    def by(self, call: int) -> bool:
        """Whether it is one of those up to `call` that were not asked about yet."""
        while self.asked < call:
            self.asked += 1
            if ocp.multihost.reached_preemption(self.asked):
                return True
        return False


_agreed = _Agreed()
"""One, as the runtime's is, however many runs a process makes."""


def told_while_starting(seconds: float) -> bool:
    """Whether the processes of a pod are to end, all of which are before their first step.

    Args:
        seconds: Since the pod became complete, by which the processes count alike; infinite for the
            last question.
    """
    return _agreed.by(int(min(seconds / POLL_SECONDS, _START_CALLS)))


@contextlib.contextmanager
def preemption() -> Iterator[Preemption]:
    """Hears signals inside the block; a second one, later than in the same moment, has its usual effect.

    Only the main thread can: in another one, signals remain with whoever started it.
    """
    in_pod = jax.process_count() > 1
    state = _PodSignals() if in_pod else _OwnSignals()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    previous: dict[signal.Signals, Any] = {}
    heard: list[float] = []

    def handle(number: int, frame: FrameType | None) -> None:
        heard.append(time.monotonic())
        if len(heard) == 1:
            state.request(number)
        elif heard[-1] - heard[0] > AGAIN_SECONDS:
            signal.signal(number, previous[signal.Signals(number)])
            signal.raise_signal(number)

    for heeded in heeded_signals():
        if not (in_pod and heeded == signal.SIGTERM):
            previous[heeded] = signal.signal(heeded, handle)
    try:
        yield state
    finally:
        for heeded, handler in previous.items():
            signal.signal(heeded, handler)
