"""Steps of children in a second on one device, K at a time, beside PyTorch in one process and in eight.

What fits a device's memory differs with the size of the children, so the numbers of children do, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from options import Options
from processes import ask_all, attempt, ours, peers, start_all, start_each
from results import Row, row
from rows.graphs import steps_of
from sizes import architectures, message, size_of

TORCH_STEPS = 20
PROCESSES = 8
"""Of PyTorch at the same time, with which a card is used that one cannot fill."""

AT_ONCE = 4
"""Programs that are compiled at the same time."""

TARGETS = {"quickstart": 30.0, "proxy": 20.0, "paper": 6.0}


class Case(NamedTuple):
    """A program that is measured.

    Attributes:
        size: Of the children, by name.
        children: K.
        bfloat16: Whether they compute in it.
    """

    size: str
    children: int
    bfloat16: bool = False

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.size} size, K={self.children}, {'bfloat16' if self.bfloat16 else 'float32'}"


CASES = (
    Case("quickstart", 64),
    Case("proxy", 64),
    Case("paper", 16, bfloat16=True),
    Case("paper", 4),
    Case("quickstart", 16),
    Case("proxy", 16),
    Case("quickstart", 256),
    Case("proxy", 64, bfloat16=True),
    Case("quickstart", 1),
    Case("proxy", 1),
    Case("paper", 1),
    Case("quickstart", 64, bfloat16=True),
    Case("paper", 16),
    Case("proxy", 256),
    Case("paper", 64, bfloat16=True),
)
"""Most important first."""


def measure(options: Options) -> Iterator[Row]:
    cases = [Case("quickstart", 2), Case("quickstart", 1)] if options.quick else CASES
    sizes = list(dict.fromkeys(case.size for case in cases))
    torch = {size: torch_steps(options, size, 1) for size in sizes}
    yield from (torch_row(size, "one process", torch[size]) for size in sizes)
    for start in range(0, len(cases), AT_ONCE):
        yield from together(options, cases[start : start + AT_ONCE], torch)
        if start == 0:
            for size in sizes:
                found = torch_steps(options, size, PROCESSES if not options.quick else 2)
                yield torch_row(size, f"{PROCESSES} processes", found)
    for size in sizes:
        found = attempt(
            lambda size=size: torch_steps(options, size, 1, compiled=True), "torch.compile"
        )
        if found is not None:
            yield torch_row(size, "torch.compile", found)


def together(options: Options, cases: Any, torch: dict[str, list[float]]) -> Iterator[Row]:
    """Compiles some programs at the same time and measures them in turn."""
    settings = [
        options.settings(
            size=case.size, children=case.children, bfloat16=case.bfloat16, **options.core(0)
        )
        for case in cases
    ]
    workers = start_each(ours(), "ours.steps", settings)
    with contextlib.ExitStack() as stack:
        for worker in filter(None, workers):
            stack.callback(worker.close)
        for case, setting, worker in zip(cases, settings, workers, strict=True):
            seconds = steps_of(worker, options)
            if worker is None or not seconds:
                logging.error("Nothing of %s: it failed or does not fit.", case.text)
                continue
            rates = [case.children * size_of(setting).steps / one for one in seconds]
            yield row(f"child-steps a second, {case.text}", "1/s", rates, details=worker.facts)
            if case.children > 1 or options.quick:
                yield row(
                    f"child-steps, {case.text}",
                    "x",
                    [float(rate / np.median(torch[case.size])) for rate in rates],
                    against="PyTorch eager, one process",
                    least=TARGETS[case.size],
                )


def torch_steps(
    options: Options, size: str, processes: int, *, compiled: bool = False
) -> list[float]:
    """Steps a second of PyTorch, of all processes together, for each of some children."""
    steps = 2 if options.quick else TORCH_STEPS
    settings = [
        options.settings(size=size, steps=steps, worker=number, compiled=compiled)
        for number in range(processes)
    ]
    # One that is compiled takes a minute.
    chosen = architectures(1 if compiled or options.quick else 3)
    with contextlib.ExitStack() as stack:
        workers = start_all(peers(), "peers.torch_children", settings)
        for worker in workers:
            stack.callback(worker.close)
        if not compiled:
            ask_all(workers, [message(chosen[:1])] * processes)
        answers = ask_all(workers, [message(chosen)] * processes)
    seconds = np.array([answer["step_seconds"] for answer in answers])
    return list((1 / seconds).sum(0))


def torch_row(size: str, how: str, rates: list[float]) -> Row:
    """The other side alone."""
    return row(f"child-steps a second, {size} size, PyTorch, {how}", "1/s", rates)
