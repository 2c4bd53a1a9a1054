"""Several children on one device: in turn by `lax.map`, as a search does it, and at once by `vmap`.

Under `vmap` a switch computes all its branches and selects; on the other hand each of them is one
operation for all children.
"""

from __future__ import annotations

from options import Options
from pairs import alternate
from processes import Worker, ours
from results import Row, row
from sizes import SIZES, architectures

CHILDREN = {"cpu": (2,), "gpu": (8, 32), "tpu": (8, 32)}


def measure(options: Options) -> list[Row]:
    sizes = ("quickstart",) if options.platform == "cpu" or options.quick else tuple(SIZES)
    return [
        compare(options, size, number)
        for size in sizes
        for number in CHILDREN[options.platform][: 1 if options.quick else None]
    ]


def compare(options: Options, size: str, number: int) -> Row:
    """Trains the same children in both ways."""
    settings = options.settings(size=size, children=number, **options.core(0))
    message = {"architectures": [one.one_line() for one in architectures(number)]}
    with (
        Worker(ours(), "ours.together", {**settings, "how": "map"}) as in_turn,
        Worker(ours(), "ours.together", {**settings, "how": "vmap"}) as at_once,
    ):
        found = alternate(
            lambda _: in_turn.ask(message), lambda _: at_once.ask(message), pairs=options.pairs
        )
    return row(
        f"{number} children on one device by lax.map, {size} size",
        "x",
        found.ratio,
        against="vmap",
        details={"map_seconds": found.ours, "vmap_seconds": found.theirs},
    )
