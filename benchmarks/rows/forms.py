"""Each platform's form of an operation against the other's, inside a loop and a switch.

TPUs and GPUs get `lax`' convolutions and windows, a CPU sums of shifted products and the like. This
says whether each is right to.
"""

from __future__ import annotations

import numpy as np
from options import Options
from pairs import Pairs, alternate, spread
from processes import Worker, ours
from results import Row, row
from rows.operations import stage_shape, times_of

STAGES = (0, 2)
"""The first and the last."""

CPU_TIMES = 4
"""How often an operation is run in one measurement: on a CPU, `lax` takes seconds each time."""


def measure(options: Options) -> list[Row]:
    return [compare(options, stage) for stage in STAGES[: 1 if options.quick else None]]


def compare(options: Options, stage: int) -> Row:
    """Measures all 13 operations, with gradients, in this platform's form and in the other."""
    shape = stage_shape(stage)
    times = CPU_TIMES if options.platform == "cpu" else times_of(options)
    settings = {"shape": shape, "times": times, "alone": False, **options.core(0)}
    names = ("cpu", "default") if options.platform == "cpu" else ("default", "cpu")
    with (
        Worker(ours(), "ours.operations", {**settings, "form": names[0]}) as chosen,
        Worker(ours(), "ours.operations", {**settings, "form": names[1]}) as other,
    ):
        found: dict[str, Pairs] = {}
        for index, name in enumerate(chosen.facts["operations"]):
            message = {"operation": index, "where": "loop"}
            found[name] = alternate(
                lambda _, message=message: chosen.ask(message),
                lambda _, message=message: other.ask(message),
                pairs=options.pairs,
            )
    details = {
        name: {
            f"{form}_ms": float(np.median(side)) * 1e3 / times
            for form, side in zip(names, (pairs.ours, pairs.theirs), strict=True)
        }
        for name, pairs in found.items()
    }
    ours_total = np.sum([pairs.ours for pairs in found.values()], 0)
    other_total = np.sum([pairs.theirs for pairs in found.values()], 0)
    forms = {"cpu": "shifted sums", "default": "lax"}
    return row(
        f"the 13 operations in branches by {forms[names[0]]}, {'x'.join(map(str, shape))}",
        "x",
        spread(list(other_total / ours_total)),
        against=f"by {forms[names[1]]}",
        details=details,
    )
