"""Single operations with gradients: in a loop and a switch, as the tape has them; alone; in PyTorch.

One core where there is no accelerator, as a device of a search has it.
"""

from __future__ import annotations

import numpy as np
from absl import logging
from options import Options
from pairs import Pairs, alternate, spread
from processes import Worker, ours, peers
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
    settings = {
        "shape": shape,
        "times": times,
        "platform": options.platform,
        **options.core(0),
    }
    alone: dict[str, Pairs] = {}
    torch: dict[str, Pairs] = {}
    with (
        Worker(ours(), "ours.operations", settings) as worker,
        Worker(peers(), "peers.torch_operations", settings) as peer,
    ):
        for index, name in enumerate(worker.facts["operations"]):

            def looped(_: int, index: int = index) -> None:
                worker.ask({"operation": index, "where": "loop"})

            alone[name] = alternate(
                looped,
                lambda _, index=index: worker.ask({"operation": index, "where": "alone"}),
                pairs=options.pairs,
            )
            torch[name] = alternate(
                looped, lambda _, index=index: peer.ask({"operation": index}), pairs=options.pairs
            )
    details = {
        name: {
            "loop_ms": milliseconds(alone[name].ours, times),
            "alone_ms": milliseconds(alone[name].theirs, times),
            "torch_ms": milliseconds(torch[name].theirs, times),
        }
        for name in alone
    }
    for name, found in details.items():
        logging.info("%-18s %s", name, {key: round(value, 2) for key, value in found.items()})
    where = "x".join(map(str, shape))
    total = np.sum([pairs.ours for pairs in alone.values()], 0)
    return [
        row(
            f"the 13 operations once, with gradients, in a loop and a switch, {where}",
            "ms",
            list(total * 1e3 / times),
            details=details,
        ),
        ratio(f"the same, {where}", "each compiled alone", alone),
        ratio(f"the same, {where}", "PyTorch eager", torch),
    ]


def milliseconds(seconds: list[float], times: int) -> float:
    """Of one of so many runs, the median."""
    return float(np.median(seconds)) * 1e3 / times


def ratio(what: str, against: str, found: dict[str, Pairs]) -> Row:
    """The time of all operations there, over that of all here."""
    here, there = (
        np.sum([getattr(pairs, side) for pairs in found.values()], 0) for side in ("ours", "theirs")
    )
    return row(what, "x", spread(list(there / here)), against=against)
