"""How well the children of a batch fill the devices, by simulation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nasnet_jax.search.dealing import deal


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A batch of children, dealt in rows of one child a device.

    Attributes:
        seconds: From the first row's start to the last row's end.
        idle_share: Of the devices' time in which they wait or do a copy's work, from 0 to 1.
    """

    seconds: float
    idle_share: float


def run_rows(times: Sequence[float], num_devices: int) -> Schedule:
    """Rows as they come, each as long as its slowest child: lock-step.

    Args:
        times: Seconds of each child.
        num_devices: Children in a row.
    """
    rows = [times[start : start + num_devices] for start in range(0, len(times), num_devices)]
    return _schedule(rows, num_devices)


def deal_by_cost(times: Sequence[float], costs: Sequence[float], num_devices: int) -> Schedule:
    """Rows of similar cost, as the child trainer deals them.

    Args:
        times: Seconds of each child.
        costs: What is known before: multiply-adds.
        num_devices: Children in a row.
    """
    rows = deal(costs, num_devices)
    return _schedule([[times[index] for index in row] for row in rows], num_devices)


def _schedule(rows: Sequence[Sequence[float]], num_devices: int) -> Schedule:
    seconds = float(sum(max(row) for row in rows))
    busy = float(sum(sum(row) for row in rows))
    return Schedule(seconds, 1 - busy / (seconds * num_devices))
