"""Two devices against one; on a CPU, where a device is a core, also two processes against one."""

from __future__ import annotations

from options import Options
from pairs import alternate, spread
from processes import Worker, ask_all, ours
from results import Row, row
from sizes import architectures, message
from versions import compare_versions


def measure(options: Options) -> list[Row]:
    if options.devices < 2:
        return []
    rows = [compare(options, name) for name in options.sizes]
    if options.platform == "cpu":
        rows += [compare_processes(options, name) for name in options.sizes]
    return rows


def compare(options: Options, name: str) -> Row:
    """Trains the same children on two devices and on one."""
    found = compare_versions(
        "ours.children",
        message(architectures(options.children)),
        options.settings(size=name, devices=2),
        options.settings(size=name, devices=1, **options.core(0)),
        pairs=options.pairs,
    )
    return row(
        f"two devices, {name} size",
        "x",
        found.ratio,
        against="one",
        least=1.9,
        details={"two_seconds": found.ours, "one_seconds": found.theirs},
    )


def compare_processes(options: Options, name: str) -> Row:
    """Trains in two processes at once, which have nothing in common but the machine, and in one.

    This says what the machine gives two cores, without anything of ours between them.
    """
    whole = message(architectures(options.children))
    settings = options.settings(size=name, devices=1)
    with (
        Worker(ours(), "ours.children", {**settings, **options.core(0)}) as one,
        Worker(ours(), "ours.children", {**settings, **options.core(1)}) as another,
    ):
        found = alternate(
            lambda _: ask_all((one, another), (whole, whole)),
            lambda _: one.ask(whole),
            pairs=options.pairs,
        )
    return row(
        f"two processes of one device at once, {name} size",
        "x",
        spread([2 * b / a for a, b in zip(found.ours, found.theirs, strict=True)]),
        against="one",
        details={"two_seconds": found.ours, "one_seconds": found.theirs},
    )
