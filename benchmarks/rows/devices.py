"""Two devices against one; on a CPU, where a device is a core, also two processes against one."""

from __future__ import annotations

from options import Options
from pairs import alternate, spread
from processes import Worker, ask_all, ours
from results import Row, row
from sizes import architectures


def measure(options: Options) -> list[Row]:
    if options.devices < 2:
        return []
    rows = [compare(options, name) for name in options.sizes]
    if options.platform == "cpu":
        rows += [compare_processes(options, name) for name in options.sizes]
    return rows


def compare(options: Options, name: str) -> Row:
    """Trains the same children on two devices and on one."""
    one_device = options.settings(size=name, devices=1, **options.core(0))
    two_devices = options.settings(size=name, devices=2)
    with (
        Worker(ours(), "ours.children", two_devices) as two,
        Worker(ours(), "ours.children", one_device) as one,
    ):
        found = alternate(
            lambda _: two.ask(children(options)),
            lambda _: one.ask(children(options)),
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
    message = children(options)
    settings = options.settings(size=name, devices=1)
    with (
        Worker(ours(), "ours.children", {**settings, **options.core(0)}) as one,
        Worker(ours(), "ours.children", {**settings, **options.core(1)}) as another,
    ):
        found = alternate(
            lambda _: ask_all((one, another), (message, message)),
            lambda _: one.ask(message),
            pairs=options.pairs,
        )
    return row(
        f"two processes of one device at once, {name} size",
        "x",
        spread([2 * b / a for a, b in zip(found.ours, found.theirs, strict=True)]),
        against="one",
        details={"two_seconds": found.ours, "one_seconds": found.theirs},
    )


def children(options: Options) -> dict[str, list[str]]:
    """The message of a worker that trains some."""
    chosen = architectures(2 if options.quick else 8)
    return {"architectures": [one.one_line() for one in chosen]}
