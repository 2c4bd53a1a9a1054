"""The rungs of halving: after how many epochs the better part of a batch goes on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def check_rungs(rungs: Sequence[int], epochs: int) -> None:
    """Checks that rungs rise, within a child's training.

    Raises:
        ValueError: If they do not.
    """
    whole = all(isinstance(rung, int) and not isinstance(rung, bool) for rung in rungs)
    ends = [0, *rungs, epochs]
    if not whole or any(one >= other for one, other in itertools.pairwise(ends)):
        raise ValueError(
            f"halving.rungs must be rising numbers of epochs, from 1 to less than child.epochs "
            f"({epochs}), but they are {tuple(rungs)}."
        )


def survivors(count: int, keep: float) -> int:
    """How many of so many children go on to the next rung."""
    return math.ceil(keep * count)


def epochs_of_rungs(count: int, epochs: int, rungs: Sequence[int], keep: float) -> list[int]:
    """How many epochs all children of a batch train together, up to each rung and to the end.

    Args:
        count: Children of the batch.
        epochs: Of one that is never stopped.
        rungs: Epochs after which a part goes on.
        keep: That part.
    """
    together = []
    for begin, end in itertools.pairwise([0, *rungs, epochs]):
        together.append(count * (end - begin))
        count = survivors(count, keep)
    return together
