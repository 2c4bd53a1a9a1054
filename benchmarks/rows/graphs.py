"""A search's program on a GPU as CUDA graphs, against the same led by the host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from absl import logging
from options import Options
from processes import Worker, attempt, ours, start_each
from results import Row, row

CASES = (("quickstart", 1), ("quickstart", 64), ("proxy", 64), ("proxy", 1))
"""Sizes, and children at a time."""

CALLS = 6


def measure(options: Options) -> Iterator[Row]:
    """Compiles all at the same time, and measures one after the other: two might not fit the memory."""
    cases = [("quickstart", 2)] if options.quick else CASES
    settings = [
        options.settings(size=size, children=children, graphs=graphs)
        for size, children in cases
        for graphs in (False, True)
    ]
    workers = start_each(ours(), "ours.steps", settings)
    with contextlib.ExitStack() as stack:
        for worker in filter(None, workers):
            stack.callback(worker.close)
        for (size, children), *sides in zip(cases, workers[::2], workers[1::2], strict=True):
            seconds = [steps_of(worker, options) for worker in sides]
            if not all(seconds):
                logging.error("No graphs of %s size, K=%d; see above.", size, children)
                continue
            yield row(
                f"{children} children at a time as CUDA graphs, {size} size",
                "x",
                [host / graph for host, graph in zip(*seconds, strict=True)],
                against="led by the host",
                details={
                    "host_seconds": seconds[0],
                    "graph_seconds": seconds[1],
                    "host": sides[0].facts,
                    "graph": sides[1].facts,
                },
            )


def steps_of(worker: Worker | None, options: Options) -> list[float]:
    """The seconds of some calls; none if the program does not fit or fails."""
    if worker is None or not worker.facts["fits"]:
        return []
    calls = {"calls": 1 if options.quick else CALLS}
    answer = attempt(lambda: worker.ask(calls), f"A program with {worker.facts}")
    # Its memory is the next one's.
    worker.close()
    return answer["seconds"] if answer else []
