"""Whether the search's program keeps the batch as first axis, or as last, which it does on TPUs.

This says whether each platform's order is the right one for it.
"""

from __future__ import annotations

from options import Options
from results import Row, row
from sizes import architectures, message
from versions import compare_versions


def measure(options: Options) -> list[Row]:
    return [compare(options, name) for name in options.sizes]


def compare(options: Options, name: str) -> Row:
    """Trains the same children in both orders."""
    settings = options.settings(size=name)
    found = compare_versions(
        "ours.children",
        message(architectures(options.children)),
        {**settings, "batch_last": False},
        {**settings, "batch_last": True},
        pairs=options.pairs,
    )
    return row(
        f"children an hour with the batch first, {name} size",
        "x",
        found.ratio,
        against="the batch last",
        details={"first_seconds": found.ours, "last_seconds": found.theirs},
    )
