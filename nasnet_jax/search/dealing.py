"""How a batch of children is dealt to the devices."""

from __future__ import annotations

from collections.abc import Sequence


def deal(costs: Sequence[float], width: int) -> list[list[int]]:
    """Deals children in rows of similar cost, one child for each device.

    A row takes as long as its dearest child. So equal ones stand together, and a row that is not
    full is the cheapest.

    Args:
      costs: of the children, in any unit.
      width: children that are trained at the same time.

    Returns:
      Rows of indices into `costs`, each and all by rising cost; only the first may be short.
    """
    order = sorted(range(len(costs)), key=lambda index: costs[index])
    short = len(order) % width
    starts = range(short, len(order), width)
    return ([order[:short]] if short else []) + [order[start : start + width] for start in starts]
