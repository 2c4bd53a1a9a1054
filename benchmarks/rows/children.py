"""Children trained in an hour, all devices busy, against PyTorch."""

from __future__ import annotations

import contextlib

from options import Options
from pairs import alternate
from processes import Worker, ask_all, ours, peers, start_all
from results import Row, row
from sizes import architectures, message, size_of

from nasnet_jax.search.dealing import deal
from nasnet_jax.space import Architecture, cost


def measure(options: Options) -> list[Row]:
    return [compare(options, name) for name in options.sizes]


def compare(options: Options, name: str) -> Row:
    """Trains the same children on both sides; the peer has one process for each device."""
    settings = options.settings(size=name)
    size, chosen = size_of(settings), architectures(options.children)
    with contextlib.ExitStack() as stack:
        worker = stack.enter_context(Worker(ours(), "ours.children", settings))
        theirs = start_all(
            peers(),
            "peers.torch_children",
            [
                {**settings, "worker": number, "compiled": False, **options.core(number)}
                for number in range(options.devices)
            ],
        )
        for one in theirs:
            stack.enter_context(one)
        whole = message(chosen)
        parts = [
            message(part)
            for part in shares(chosen, [cost(one, size.macro).macs for one in chosen], len(theirs))
        ]
        found = alternate(
            lambda _: worker.ask(whole), lambda _: ask_all(theirs, parts), pairs=options.pairs
        )
        facts = {"ours": worker.facts, "theirs": theirs[0].facts}
    hours = [seconds / 3600 for seconds in found.ours]
    return row(
        f"children an hour, {name} size",
        "x",
        found.ratio,
        against="PyTorch eager",
        least=1.0,
        aim=1.5,
        details={
            "children": len(chosen),
            "steps": size.steps,
            "our_seconds": found.ours,
            "their_seconds": found.theirs,
            "our_children_per_hour": [len(chosen) / hour for hour in hours],
            **facts,
        },
    )


def shares(chosen: list[Architecture], costs: list[int], workers: int) -> list[list[Architecture]]:
    """Deals children to processes so that all have about as much to do."""
    parts: list[list[Architecture]] = [[] for _ in range(workers)]
    # To and fro, so that no process has the dearer child of each row.
    for number, one in enumerate(deal(costs, workers)):
        for place, index in enumerate(one if number % 2 else reversed(one)):
            parts[place].append(chosen[index])
    return parts
