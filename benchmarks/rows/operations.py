"""Single operations with their gradients, inside a loop and a switch as the tape has them, and alone.

One core where there is no accelerator, as a device of a search has it.
"""

from __future__ import annotations

import numpy as np
from absl import logging
from options import Options
from pairs import Pairs, alternate, spread
from processes import Worker, ours
from results import Row, row
from sizes import SIZES


def measure(options: Options) -> list[Row]:
    rows = []
    for stage in range(1 if options.quick else 3):
        rows += measure_stage(options, stage_shape(stage))
    return rows


def stage_shape(stage: int) -> tuple[int, ...]:
    """Of a hidden state in a stage of a child of proxy size."""
    size = SIZES["proxy"]
    side = size.image_size // 2**stage
    return (size.batch_size, side, side, size.num_filters * 2**stage)


def times_of(options: Options) -> int:
    """How often an operation is run in one measurement; an accelerator needs more to be timed."""
    if options.quick:
        return 2
    return 20 if options.platform == "cpu" else 200


def measure_stage(options: Options, shape: tuple[int, ...]) -> list[Row]:
    """Measures the 13 operations at the size of a stage."""
    times = times_of(options)
    settings = {"shape": shape, "times": times, **options.core(0)}
    with Worker(ours(), "ours.operations", settings) as worker:
        found: dict[str, Pairs] = {}
        for index, name in enumerate(worker.facts["operations"]):
            found[name] = alternate(
                lambda _, index=index: worker.ask({"operation": index, "where": "loop"}),
                lambda _, index=index: worker.ask({"operation": index, "where": "alone"}),
                pairs=options.pairs,
            )
    details = {}
    for name, pairs in found.items():
        loop, alone = (float(np.median(side)) * 1e3 / times for side in (pairs.ours, pairs.theirs))
        details[name] = {"loop_ms": loop, "alone_ms": alone}
        logging.info("%-18s %8.2f ms in a loop, %8.2f ms alone", name, loop, alone)
    total = np.sum([pairs.ours for pairs in found.values()], 0)
    alone_total = np.sum([pairs.theirs for pairs in found.values()], 0)
    where = "x".join(map(str, shape))
    return [
        row(
            f"the 13 operations once, with gradients, in a loop and a switch, {where}",
            "ms",
            list(total * 1e3 / times),
            details=details,
        ),
        row(
            f"the same, {where}",
            "x",
            spread(list(alone_total / total)),
            against="each compiled alone",
        ),
    ]
