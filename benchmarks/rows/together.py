"""Several children on one device: on a tape of chunks, in turn by `lax.map`, and at once by `vmap`.

A tape of chunks is what a search runs where `mesh.children_per_device` is above 1. In turn is what it
does where it is 1. Under `vmap` a switch computes all its branches and selects; on the other hand each
of them is one operation for all children.
"""

from __future__ import annotations

from options import Options
from results import Row, row
from sizes import architectures, message
from versions import compare_versions

CHILDREN = {"cpu": 2, "gpu": 16, "tpu": 16}
NAMES = {"tape": "a tape of chunks", "map": "lax.map", "vmap": "vmap"}
STEPS = 10
"""Of a child."""


def measure(options: Options) -> list[Row]:
    # On a CPU all branches are computed one after the other: minutes for a child of proxy size.
    sizes = [one for one in options.sizes if options.platform != "cpu" or one == "quickstart"]
    number = CHILDREN[options.platform]
    chunks = [compare(options, size, number, ("tape", "map")) for size in options.sizes]
    return chunks + [compare(options, size, number, ("map", "vmap")) for size in sizes]


def compare(options: Options, size: str, number: int, ways: tuple[str, str]) -> Row:
    """Trains the same children in two ways."""
    ours, other = ways
    settings = options.settings(
        **{"size": size, "children": number, "steps": STEPS}, **options.core(0)
    )
    found = compare_versions(
        "ours.together",
        message(architectures(number)),
        {**settings, "how": ours},
        {**settings, "how": other},
        pairs=options.pairs,
    )
    return row(
        f"{number} children on one device by {NAMES[ours]}, {size} size",
        "x",
        found.ratio,
        against=NAMES[other],
        details={f"{ours}_seconds": found.ours, f"{other}_seconds": found.theirs},
    )
