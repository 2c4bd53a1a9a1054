"""Two devices against one."""

from __future__ import annotations

from options import Options
from pairs import alternate
from processes import Worker, ours
from results import Row, row
from sizes import architectures


def measure(options: Options) -> list[Row]:
    if options.devices < 2:
        return []
    return [compare(options, name) for name in options.sizes]


def compare(options: Options, name: str) -> Row:
    """Trains the same children on two devices and on one; on a CPU, a device is a core."""
    message = {
        "architectures": [one.one_line() for one in architectures(2 if options.quick else 8)]
    }
    one_device = options.settings(size=name, devices=1, **options.core(0))
    two_devices = options.settings(size=name, devices=2)
    with (
        Worker(ours(), "ours.children", two_devices) as two,
        Worker(ours(), "ours.children", one_device) as one,
    ):
        found = alternate(
            lambda _: two.ask(message), lambda _: one.ask(message), pairs=options.pairs
        )
    return row(
        f"two devices, {name} size",
        "x",
        found.ratio,
        against="one",
        least=1.9,
        details={"two_seconds": found.ours, "one_seconds": found.theirs},
    )
