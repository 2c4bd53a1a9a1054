"""Running out of memory: known beforehand where that is possible, and explained where not."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nasnet_jax.cgroups import MEMBERSHIP, ROOT, control_groups, group_numbers

if TYPE_CHECKING:
    from jax import Device
    from jax.sharding import Mesh
    from jax.stages import Compiled

_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Of a control group, in both versions."""


class NotEnoughMemory(MemoryError):
    """More memory is needed than there is; its sentence says what needs less."""


def free_memory(
    root: Path = ROOT, membership: Path = MEMBERSHIP, machine: Path = Path("/proc/meminfo")
) -> float:
    """Bytes that this process can have besides what it has; infinite where that is not known.

    Linux gives out more than there is and kills a process that uses it, without a word.

    Args:
        root: As for `control_groups`.
        membership: Likewise.
        machine: Linux' file about the memory of the whole machine.
    """
    free = [math.inf]
    for group in control_groups("memory", root, membership):
        for names in _FILES:
            if numbers := group_numbers(group, *names):
                limit, used = numbers
                free.append(limit - used + _given_up_when_needed(group))
    if machine.exists():
        kilobytes = re.findall(r"(?:MemAvailable|SwapFree):\s*(\d+)", machine.read_text())
        if len(kilobytes) == 2:
            free.append(1024 * sum(map(int, kilobytes)))
    return min(free)


def memory_of(device: Device) -> int | None:
    """Bytes of a device's memory that programs can have; None where it does not tell, as a CPU."""
    return (device.memory_stats() or {}).get("bytes_limit")


def _given_up_when_needed(group: Path) -> int:
    """Bytes of files that a group has read, which count as used."""
    try:
        found = re.search(
            r"^(?:total_)?inactive_file (\d+)$", (group / "memory.stat").read_text(), re.M
        )
    except OSError:
        return 0
    return int(found[1]) if found else 0


def check_fits(size: int, what: str, advice: str) -> None:
    """Sees that something fits into the memory before it is put there.

    Args:
        size: In bytes.
        what: Its name, which begins a sentence.
        advice: What needs less, as the end of a sentence that begins with "Try".

    Raises:
        NotEnoughMemory: If it does not fit.
    """
    free = free_memory()
    if size > free:
        raise NotEnoughMemory(
            f"{what} would take {size / 1e9:,.1f} GB of memory, of which {free / 1e9:,.1f} GB are "
            f"free. Try {advice}."
        )


def check_parameters_fit(number: int, mesh: Mesh, advice: str) -> None:
    """Sees that a network can be trained on the devices of a CPU; others have memory of their own.

    Args:
        number: Of its parameters, on each device; with the gradient and the optimizer's numbers it
            takes at least three times as many.
        mesh: The devices.
        advice: As for `check_fits`.

    Raises:
        NotEnoughMemory: If they do not fit.
    """
    if mesh.devices.flat[0].platform == "cpu":
        devices = len(mesh.local_devices)
        what = f"{number:,} parameters, their gradient and momentum on {devices} devices"
        check_fits(3 * 4 * number * devices, what, advice)


def check_program_fits(program: Compiled, mesh: Mesh, advice: str) -> None:
    """Sees that what a program computes in between fits, on the devices of a CPU, before it runs.

    Args:
        program: For all devices.
        mesh: The devices.
        advice: As for `check_fits`.

    Raises:
        NotEnoughMemory: If it does not fit.
    """
    sizes = program.memory_analysis()
    if mesh.devices.flat[0].platform == "cpu" and sizes is not None:
        devices = len(mesh.local_devices)
        check_fits(sizes.temp_size_in_bytes * devices, f"A program on {devices} devices", advice)


@contextlib.contextmanager
def explained_memory(advice: str) -> Iterator[None]:
    """Turns what JAX and NumPy raise where memory runs out into a sentence; also a decorator.

    Args:
        advice: What needs less memory, as the end of a sentence that begins with "Try".

    Raises:
        NotEnoughMemory: With the sentence.
    """
    import jax

    try:
        yield
    except NotEnoughMemory:
        raise
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = (str(error) or "Python found none").splitlines()[0].rstrip(".")
        raise NotEnoughMemory(f"There is not enough memory: {reason}. Try {advice}.") from error
