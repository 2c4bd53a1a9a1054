"""Two sides measured in turn, A B A B ..., so that a machine's moods fall on both alike."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
from absl import logging


@dataclasses.dataclass(frozen=True)
class Spread:
    """The median of some measurements, with their quartiles."""

    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread:
    """Median and quartiles of values."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return Spread(float(median), float(low), float(high))


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The seconds of both sides, in the order in which they were measured."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> Spread:
        """How many times as long the other side takes, pair by pair."""
        return spread([b / a for a, b in zip(self.ours, self.theirs, strict=True)])


def alternate(
    ours: Callable[[int], object],
    theirs: Callable[[int], object],
    *,
    pairs: int,
    warm_up: bool = True,
) -> Pairs:
    """Runs both sides in turn.

    Args:
        ours: Called with the number of the pair, from 0, and timed from call to return.
        theirs: Likewise.
        pairs: How many.
        warm_up: Whether each side is run once before, which is not counted.
    """
    if warm_up:
        ours(0)
        theirs(0)
    found = Pairs([], [])
    for number in range(pairs):
        found.ours.append(timed(ours, number))
        found.theirs.append(timed(theirs, number))
        logging.info(
            "pair %d: ours %.3f s, theirs %.3f s", number, found.ours[-1], found.theirs[-1]
        )
    return found


def timed(function: Callable[[int], object], number: int) -> float:
    """Seconds from call to return."""
    started = time.perf_counter()
    function(number)
    return time.perf_counter() - started
