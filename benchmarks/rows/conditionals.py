"""What a conditional costs: a loop of switches against the same loop without them."""

from __future__ import annotations

from options import Options
from pairs import alternate
from processes import Worker, ours
from results import Row, row
from rows.operations import stage_shape

TIMES = 2_000


def measure(options: Options) -> list[Row]:
    settings = {"shape": stage_shape(2), "times": TIMES, **options.core(0)}
    with Worker(ours(), "ours.conditionals", settings) as worker:
        found = alternate(
            lambda _: worker.ask({"form": "switched"}),
            lambda _: worker.ask({"form": "plain"}),
            pairs=options.pairs,
        )
    costs = [1e6 * (a - b) / TIMES for a, b in zip(found.ours, found.theirs, strict=True)]
    details = {"switched_seconds": found.ours, "plain_seconds": found.theirs}
    return [
        row("a switch over 13 branches, beyond what its branch costs", "us", costs, details=details)
    ]
