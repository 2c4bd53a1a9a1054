"""How a loop hears of signals, alone and among the processes of a pod."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Iterator

import orbax.checkpoint as ocp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax import preemption as module
from nasnet_jax.preemption import Preempted, preemption
from nasnet_jax.starting import POLL_SECONDS, SIGNALS


@pytest.fixture
def usual() -> Iterator[list[int]]:
    """What the handlers from before, which it installs, have heard."""
    heard: list[int] = []
    before = {n: signal.signal(n, lambda number, frame: heard.append(number)) for n in SIGNALS}
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_loop_where_it_asks(usual: list[int], number: signal.Signals) -> None:
    with preemption() as signals:
        signals.check()
        signal.raise_signal(number)
        with pytest.raises(Preempted, match=f"ended by {number.name}"):
            signals.check()
    assert not usual
    signal.raise_signal(number)
    assert usual == [number]


def test_a_later_second_signal_has_its_usual_effect(
    usual: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.2)
    with preemption():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert not usual
        time.sleep(0.3)
        signal.raise_signal(signal.SIGTERM)
    assert usual == [signal.SIGTERM]


def test_an_ignored_signal_stays_ignored(usual: list[int]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with preemption() as signals:
        signal.raise_signal(signal.SIGHUP)
        signals.check()


def test_another_thread_leaves_signals_alone(usual: list[int]) -> None:
    failures: list[Exception] = []

    def loop() -> None:
        try:
            with preemption() as signals:
                signals.check()
                signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
                signals.check()
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    thread.join()
    assert not failures and usual == [signal.SIGTERM]


@dataclasses.dataclass
class Process:
    """One of a pod, as JAX's runtime sees it: it holds what each has asked about last."""

    agreed: module._Agreed
    asked: int = 0
    ended: int | None = None


START_CALLS = 6


@given(
    order=st.lists(st.integers(0, 2), min_size=90, max_size=90),
    told=st.integers(0, 80),
    starts=st.tuples(*[st.integers(0, START_CALLS + 2)] * 3),
)
def test_no_process_misses_the_call_after_which_all_end(
    order: list[int], told: int, starts: tuple[int, ...]
) -> None:
    """Whenever a signal comes, and whichever process is how far.

    Args:
        order: In which order the processes come to ask.
        told: After how many questions the runtime takes the furthest one's next call for the end.
        starts: How often each asks while it starts.
    """
    pod = [Process(module._Agreed()) for _ in range(3)]
    end: int | None = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_START_CALLS", START_CALLS)

        def step(number: int, times: int) -> None:
            process = pod[number]

            def reached(call: int) -> bool:
                assert call == process.asked + 1
                process.asked = call
                return call == end

            patch.setattr(ocp.multihost, "reached_preemption", reached)
            patch.setattr(module, "_agreed", process.agreed)
            if times <= starts[number]:
                seconds = POLL_SECONDS * times if times < starts[number] else float("inf")
                if module.told_while_starting(seconds):
                    process.ended = process.asked
            else:
                try:
                    module._PodSignals().check()
                except Preempted:
                    process.ended = process.asked

        counts = [0, 0, 0]
        for moment, number in enumerate([*order, *[0, 1, 2] * 100]):
            if moment == told:
                end = max(process.asked for process in pod) + 1
            if pod[number].ended is None:
                counts[number] += 1
                step(number, counts[number])
    assert [process.ended for process in pod] == [end] * 3
