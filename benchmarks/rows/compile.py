"""How long the search's program takes to compile, and how that grows with N."""

from __future__ import annotations

from options import Options
from pairs import spread
from processes import NO_CACHE, Worker, ours
from results import Row, row

PROTOTYPE_SECONDS = 66.0
"""What the first prototype of the tape took at N=1, F=8, on two cores of another day."""

DEEP, SHALLOW = 6, 2


def measure(options: Options) -> list[Row]:
    found: dict[str, list[float]] = {"quickstart": [], "shallow": [], "deep": []}
    for _ in range(options.pairs):
        found["quickstart"].append(seconds(options, size="quickstart"))
        found["shallow"].append(seconds(options, size="proxy", num_cells=SHALLOW))
        found["deep"].append(seconds(options, size="proxy", num_cells=DEEP))
    growth = [a / b for a, b in zip(found["deep"], found["shallow"], strict=True)]
    return [
        row(
            "compiling the search's program, quickstart size",
            "s",
            found["quickstart"],
            most=25.0,
            details={"prototype_seconds": PROTOTYPE_SECONDS, "seconds": found["quickstart"]},
        ),
        row("compiling it, proxy size", "s", spread(found["shallow"])),
        row(
            f"compiling it for N={DEEP}",
            "x",
            growth,
            against=f"N={SHALLOW}, the time as a multiple",
            most=1.3,
            details={"deep_seconds": found["deep"], "shallow_seconds": found["shallow"]},
        ),
    ]


def seconds(options: Options, **settings: object) -> float:
    """Of one compilation, in a process of its own without a cache."""
    with Worker(ours(), "ours.compile", options.settings(**settings), variables=NO_CACHE) as worker:
        return float(worker.ask({})["seconds"])
