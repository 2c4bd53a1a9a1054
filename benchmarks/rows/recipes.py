"""A step of the ImageNet recipes, with auxiliary head, RMSProp and moving averages: time, memory."""

from __future__ import annotations

from options import Options
from pairs import timed
from processes import Worker, ours
from results import Row, row

NETWORKS = {"mobile": ("Mobile, 224 pixels", 8), "large": ("Large, 331 pixels", 2)}


def measure(options: Options) -> list[Row]:
    rows = []
    for network, (name, batch) in NETWORKS.items():
        settings = {"mode": "recipe", "network": network, "batches": [batch]}
        message = {"batch": batch, "times": 1}
        with Worker(ours(), "ours.mobile", settings) as worker:
            seconds = [
                timed(lambda _, one=worker, message=message: one.ask(message), number)
                for number in range(options.pairs)
            ]
            peak = worker.ask(message)["peak_bytes"]
        what = f"training step by the recipe, {name}, batch {batch}"
        rows.append(row(what, "s", seconds, details={"seconds": seconds}))
        rows.append(row(f"{what}: peak memory, compilation included", "MB", peak / 1e6))
    return rows
