"""What a search does between compiled calls, as a share of these."""

from __future__ import annotations

from options import Options
from processes import Worker, ours
from results import Row, row

CHILDREN = 40
"""Two batches of the controller."""


def measure(options: Options) -> list[Row]:
    children = 20 if options.quick else CHILDREN
    with Worker(ours(), "ours.search", {"children": children}) as worker:
        # The first search of a process also loads what all later ones use.
        found = [worker.ask({}) for _ in range(1 + (1 if options.quick else options.pairs))][1:]
    shares = [100 * (one["loop_seconds"] / one["call_seconds"] - 1) for one in found]
    return [
        row(
            f"all between compiled calls, in a quickstart search of {children} children",
            "%",
            shares,
            most=2.0,
            details={"searches": found},
        )
    ]
