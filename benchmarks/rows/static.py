"""Children trained in an hour, against compiling each child's own static network.

By `jax.jit`, and on accelerators also by `torch.compile`.
"""

from __future__ import annotations

import contextlib

from options import Options
from pairs import alternate
from processes import NO_CACHE, Worker, ask_all, ours, peers, start_all
from results import Row, row
from sizes import architectures, message

from nasnet_jax.space import Architecture

STEPS = 100
"""Of a child, on both sides."""

LEAST = {"quickstart": 6.0, "proxy": 3.0}


def measure(options: Options) -> list[Row]:
    forms = [False] if options.platform == "cpu" else [False, True]
    return [compare(options, name, torch=torch) for name in options.sizes for torch in forms]


def compare(options: Options, name: str, *, torch: bool) -> Row:
    """In each pair, one new child for each device; the peer has one process for each device.

    Our program was compiled before: once for all children of a search. The peer compiles for each.
    """
    peer = "torch.compile" if torch else "jax.jit"
    settings = options.settings(size=name, **({} if options.quick else {"steps": STEPS}))
    devices = options.devices
    chosen = architectures(devices * (options.pairs + 1), seed=3)

    def row_of(number: int) -> list[Architecture]:
        return chosen[number * devices : (number + 1) * devices]

    with contextlib.ExitStack() as stack:
        worker = stack.enter_context(Worker(ours(), "ours.children", settings))
        theirs = start_all(
            peers() if torch else ours(),
            "peers.torch_children" if torch else "peers.static_children",
            [
                {**settings, "worker": number, "compiled": torch, **options.core(number)}
                for number in range(devices)
            ],
            variables=NO_CACHE,
        )
        for one in theirs:
            stack.enter_context(one)
        worker.ask(message(row_of(0)))
        found = alternate(
            lambda pair: worker.ask(message(row_of(pair + 1))),
            lambda pair: ask_all(theirs, [message([one]) for one in row_of(pair + 1)]),
            pairs=options.pairs,
            warm_up=False,
        )
        facts = worker.facts
    return row(
        f"children of {STEPS} steps an hour, {name} size",
        "x",
        found.ratio,
        against=f"{peer} of each child's own static network, compilation included",
        least=None if torch else LEAST[name],
        details={"our_seconds": found.ours, "their_seconds": found.theirs, "ours": facts},
    )
