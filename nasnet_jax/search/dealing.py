"""How a batch of children is dealt to the devices, and prepared for them."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def deal(costs: Sequence[float], width: int) -> list[list[int]]:
    """Deals children in rows of similar cost, one child for each device.

    A row takes as long as its dearest child. So equal ones stand together, and a row that is not
    full is the cheapest.

    Args:
        costs: Of the children, in any unit.
        width: Children that are trained at the same time.

    Returns:
        Rows of indices into `costs`, each and all by rising cost; only the first may be short.
    """
    order = sorted(range(len(costs)), key=lambda index: costs[index])
    short = len(order) % width
    starts = range(short, len(order), width)
    return ([order[:short]] if short else []) + [order[start : start + width] for start in starts]


def share(costs: Sequence[float], devices: int) -> list[list[int]]:
    """Shares the children of a row among devices, so that each gets about as much work.

    Args:
        costs: Of the row's children.
        devices: Of which none gets more children than another needs to.

    Returns:
        For each device the indices of its children into `costs`, rising; with no more children than
        devices, one each, and nothing for the devices behind.
    """
    most = -(-len(costs) // devices)
    shares: list[list[int]] = [[] for _ in range(devices)]
    work = [0.0] * devices
    for index in sorted(range(len(costs)), key=lambda index: (-costs[index], index)):
        free = [device for device in range(devices) if len(shares[device]) < most]
        device = min(free, key=lambda device: work[device])
        shares[device].append(index)
        work[device] += costs[index]
    if most == 1:
        # In their order: what is timed first is the cheapest.
        return [[index] for index in range(len(costs))] + [[] for _ in range(devices - len(costs))]
    return [sorted(indices) for indices in shares]


def ahead(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The function of each item, computed in a thread while the one before is being used."""
    if not items:
        return
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        next_one = pool.submit(function, items[0])
        for item in items[1:]:
            result = next_one.result()
            next_one = pool.submit(function, item)
            yield result
        yield next_one.result()
