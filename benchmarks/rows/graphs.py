"""A search's program on a GPU as CUDA graphs, against the same led by the host."""

from __future__ import annotations

from collections.abc import Iterator

from absl import logging
from options import Options
from processes import ours, start_all
from results import Row, row
from rows.steps import CALLS

CASES = (("quickstart", 1), ("proxy", 1), ("quickstart", 64), ("proxy", 64))
"""Sizes, and children at a time; first what was measured before there was a tape of chunks."""


def measure(options: Options) -> Iterator[Row]:
    for size, children in [("quickstart", 2)] if options.quick else CASES:
        yield from compare(options, size, children)


def compare(options: Options, size: str, children: int) -> Iterator[Row]:
    """Measures both; they take turns."""
    settings = options.settings(size=size, children=children)
    workers = start_all(
        ours(), "ours.steps", [{**settings, "graphs": graphs} for graphs in (False, True)]
    )
    try:
        if not all(worker.facts["fits"] for worker in workers):
            logging.info("%s size, K=%d does not fit.", size, children)
            return
        calls = {"calls": 1 if options.quick else CALLS}
        seconds: list[list[float]] = [[], []]
        for _ in range(1 if options.quick else 2):
            for found, worker in zip(seconds, workers, strict=True):
                found += worker.ask(calls)["seconds"]
        yield row(
            f"{children} children at a time as CUDA graphs, {size} size",
            "x",
            [other / graph for other, graph in zip(*seconds, strict=True)],
            against="led by the host",
            details={
                "host_seconds": seconds[0],
                "graph_seconds": seconds[1],
                "host": workers[0].facts,
                "graph": workers[1].facts,
            },
        )
    finally:
        for worker in workers:
            worker.close()
