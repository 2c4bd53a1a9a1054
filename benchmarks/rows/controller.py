"""The controller: 20 proposals and one update by PPO."""

from __future__ import annotations

from options import Options
from pairs import timed
from processes import Worker, ours
from results import Row, row

TIMES = 20
"""Updates in one measurement."""


def measure(options: Options) -> list[Row]:
    with Worker(ours(), "ours.controller", {}) as worker:
        worker.ask({"times": 2})
        milliseconds = [
            timed(lambda _: worker.ask({"times": TIMES}), number) * 1e3 / TIMES
            for number in range(options.pairs)
        ]
        compilations = worker.ask({"times": 1})["compilations"]
    if set(compilations.values()) != {1}:
        raise RuntimeError(f"The controller was compiled more than once: {compilations}.")
    return [
        row(
            "20 proposals and one PPO update, compiled once",
            "ms",
            milliseconds,
            most=50.0,
            details={"milliseconds": milliseconds, "compilations": compilations},
        )
    ]
