"""The rungs of halving: after how many epochs the better part of a batch goes on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def check_rungs(rungs: Sequence[int], epochs: int) -> None:
    """Checks that rungs rise, within a child's training.

    Raises:
      ValueError: if they do not.
    """
    whole = all(isinstance(rung, int) and not isinstance(rung, bool) for rung in rungs)
    ends = [0, *rungs, epochs]
    if not whole or any(one >= other for one, other in itertools.pairwise(ends)):
        raise ValueError(
            f"halving.rungs must be rising numbers of epochs, from 1 to less than child.epochs "
            f"({epochs}), but they are {tuple(rungs)}."
        )
