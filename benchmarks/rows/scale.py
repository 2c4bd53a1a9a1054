"""How cost grows with work: children, N, F, image size, devices, history; with fitted exponents.

An exponent of 1 is in proportion. `table.py` draws the figure.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from options import Options
from pairs import spread, timed
from processes import Worker, ours
from results import Row
from sizes import ChildSize, architectures, message, size_of

from nasnet_jax.planning.schedule import deal_by_cost
from nasnet_jax.planning.work import child_work
from nasnet_jax.space import Architecture, cost

BASE: dict[str, Any] = {
    "size": "proxy",
    "num_cells": 1,
    "num_filters": 8,
    "image_size": 16,
    "steps": 10,
}
SWEEPS = {"num_cells": (1, 2, 4, 6), "num_filters": (8, 16, 32), "image_size": (8, 16, 32, 64)}
NAMES = {"num_cells": "N", "num_filters": "F", "image_size": "image size"}
CHILDREN = (2, 4, 8, 16)
HISTORY = (500, 1_000, 2_000, 5_000, 10_000, 20_000)
SIMULATED_DEVICES = tuple(2**power for power in range(11))
SIMULATED_CHILDREN = 4_096
"""Of a batch in the simulation: four for each of the most devices."""

MOST = 1.05
"""In proportion, with some room for the noise of measuring."""


def measure(options: Options) -> list[Row]:
    sweeps = {"num_cells": (1, 2)} if options.quick else SWEEPS
    return [
        *(by_size(options, field, values) for field, values in sweeps.items()),
        by_children(options),
        *by_devices(options),
        by_simulated_devices(),
        by_history(options),
    ]


def by_size(options: Options, field: str, values: Sequence[int]) -> Row:
    """The time of the same children for each value of a field of their size."""
    chosen = architectures(options.devices)
    settings = [options.settings(**{**BASE, field: value}) for value in values]
    found = seconds_of(options, settings, [chosen] * len(settings))
    work = [multiply_adds(chosen, size_of(one)) for one in settings]
    return curve(f"time of a child with {NAMES[field]}", values, work, "multiply-adds", found)


def by_children(options: Options) -> Row:
    """The time of more and more children; always the same ones again, so that work is in proportion."""
    numbers = [number for number in CHILDREN if number % options.devices == 0]
    chosen = architectures(options.devices)
    found = seconds_of(
        options,
        [options.settings(**BASE)] * len(numbers),
        [chosen * (number // options.devices) for number in numbers],
    )
    return curve("time with the number of children", numbers, numbers, "children", found)


def by_devices(options: Options) -> list[Row]:
    """The time of the same children on one device and on more, each row of them alike."""
    if options.devices < 2:
        return []
    numbers = [2**power for power in range(options.devices.bit_length())]
    chosen = architectures(1) * numbers[-1]
    settings = [options.settings(**BASE, devices=number) for number in numbers]
    settings[0] |= options.core(0)
    found = seconds_of(options, settings, [chosen] * len(numbers))
    each = [[number * one for one in some] for number, some in zip(numbers, found, strict=True)]
    return [curve("device time of the same children with devices", numbers, None, "devices", each)]


def by_simulated_devices() -> Row:
    """Device time of a large batch by the planner's simulation, in which only waiting costs."""
    size = size_of(BASE)
    drawn = architectures(SIMULATED_CHILDREN)
    times = [child_work(one, size.macro).elements for one in drawn]
    costs = [cost(one, size.macro).macs for one in drawn]
    found = [
        [number * deal_by_cost(times, costs, number).seconds / sum(times)]
        for number in SIMULATED_DEVICES
    ]
    what = f"device time of {SIMULATED_CHILDREN:,} children with devices, simulated"
    return curve(what, SIMULATED_DEVICES, None, "devices", found)


def by_history(options: Options) -> Row:
    """What is done with the history after each batch."""
    lengths = HISTORY[:2] if options.quick else HISTORY
    found = []
    with Worker(ours(), "ours.history", {}) as worker:
        for length in lengths:
            worker.ask({"grow_to": length})
            found.append([timed(lambda _: worker.ask({}), at) for at in range(options.pairs)])
    return curve(
        "history's time after a batch with its length", lengths, lengths, "children", found
    )


def seconds_of(
    options: Options,
    settings: Sequence[dict[str, Any]],
    chosen: Sequence[Sequence[Architecture]],
) -> list[list[float]]:
    """Of training some children for each of the settings: several times, in turn."""
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(ours(), "ours.children", one)) for one in settings]
        asks = [
            functools.partial(worker.ask, message(some))
            for worker, some in zip(workers, chosen, strict=True)
        ]
        for ask in asks:
            ask()
        rounds = [
            [timed(lambda _, ask=ask: ask(), number) for ask in asks]
            for number in range(options.pairs)
        ]
    return [list(one) for one in zip(*rounds, strict=True)]


def multiply_adds(chosen: Sequence[Architecture], size: ChildSize) -> float:
    """Of the mean child, for one image."""
    return float(np.mean([cost(one, size.macro).macs for one in chosen]))


def curve(
    what: str,
    values: Sequence[int],
    work: Sequence[float] | None,
    unit: str,
    seconds: list[list[float]],
) -> Row:
    """A row whose number is the exponent of time in work.

    Args:
        what: For people.
        values: Of what is changed.
        work: What time should be in proportion to; None where there is as much for all values,
            and time should stay.
        unit: Of the work, or of the values where there is none.
        seconds: For each value, the measurements.
    """
    axis = np.log(values if work is None else work)
    medians = np.log([np.median(one) for one in seconds])
    exponent = float(np.polyfit(axis, medians, 1)[0])
    # Of the growth from each point to the next.
    steps = list(np.diff(medians) / np.diff(axis))
    found = spread(steps)
    return Row(
        what=what,
        unit="exponent",
        value=exponent,
        low=min(exponent, found.low),
        high=max(exponent, found.high),
        most=MOST if work is not None else MOST - 1,
        details={
            "values": list(values),
            "axis": list(values if work is None else work),
            "axis_unit": unit,
            "seconds": seconds,
            "steps": steps,
        },
    )
