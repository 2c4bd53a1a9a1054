"""Several children on one device: in turn by `lax.map`, as a search does it, and at once by `vmap`.

Under `vmap` a switch computes all its branches and selects; on the other hand each of them is one
operation for all children.
"""

from __future__ import annotations

from options import Options
from results import Row, row
from sizes import architectures, message
from versions import compare_versions

CHILDREN = {"cpu": 2, "gpu": 16, "tpu": 16}
STEPS = 10
"""Of a child."""


def measure(options: Options) -> list[Row]:
    # On a CPU all branches are computed one after the other: minutes for a child of proxy size.
    sizes = [one for one in options.sizes if options.platform != "cpu" or one == "quickstart"]
    return [compare(options, size, CHILDREN[options.platform]) for size in sizes]


def compare(options: Options, size: str, number: int) -> Row:
    """Trains the same children in both ways."""
    settings = options.settings(
        **{"size": size, "children": number, "steps": STEPS}, **options.core(0)
    )
    found = compare_versions(
        "ours.together",
        message(architectures(number)),
        {**settings, "how": "map"},
        {**settings, "how": "vmap"},
        pairs=options.pairs,
    )
    return row(
        f"{number} children on one device by lax.map, {size} size",
        "x",
        found.ratio,
        against="vmap",
        details={"map_seconds": found.ours, "vmap_seconds": found.theirs},
    )
