"""What the numbers of a configuration may be."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that a field may be.

    Attributes:
        least: The smallest of them.
        most: The largest of them.
        above: Whether `least` itself is not one of them.
        below: Whether `most` itself is not one of them.
    """

    least: float
    most: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        # Written so that NaN is in no range.
        over = value > self.least if self.above else value >= self.least
        under = value < self.most if self.below else value <= self.most
        return over and under

    def __str__(self) -> str:
        over = f"{'above' if self.above else 'at least'} {self.least:,}"
        return f"{over} and {'below' if self.below else 'at most'} {self.most:,}"


SEED = Range(0, 2**32 - 1)
"""JAX would take others modulo 2^32, NumPy not."""
STEP = Range(0, 2**31 - 1)
"""Steps are numbered in 32 bits on the devices."""
COUNT = Range(1, 10**9)
COUNT_OR_NONE = Range(0, 10**9)
AMOUNT_OR_NONE = Range(0, 10**18)
"""Of parameters or multiply-adds."""
SHARE = Range(0, 1, below=True)
RATE = Range(0, 10**6, above=True)
RATE_OR_NONE = Range(0, 10**6)
PIXELS = Range(1, 8192)
PADDING = Range(0, 256)
CELLS = Range(1, 100)
FILTERS = Range(2, 10_000)
REDUCTIONS = Range(0, 12)
