"""Accelerators and how many of them: `v5e:4x4`, `v5e-16`, `h100-8`, `local`. Imports no JAX."""

from __future__ import annotations

import dataclasses
import math
import re

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator, which is one device of JAX.

    Attributes:
        name: As topologies are written.
        flops: Peak operations a second in bfloat16, a multiply-add counting as two.
        memory: Bytes of its memory (HBM).
        bandwidth: Bytes a second from its memory.
        dimensions: Of the torus that TPU slices are cut from; 0 for GPUs.
        size_unit: By how much the number in `v4-32` counts a chip: 2 where it counts cores.
    """

    name: str
    flops: float
    memory: int
    bandwidth: float
    dimensions: int = 0
    size_unit: int = 1


CHIPS = {
    chip.name: chip
    # The makers' published numbers: Cloud TPU's system architecture pages, NVIDIA's data sheets
    # (SXM forms, dense).
    for chip in (
        Chip("v4", 275e12, 32 * GIB, 1228e9, dimensions=3, size_unit=2),
        Chip("v5e", 197e12, 16 * GIB, 819e9, dimensions=2),
        Chip("v5p", 459e12, 95 * GIB, 2765e9, dimensions=3, size_unit=2),
        Chip("v6e", 918e12, 32 * GIB, 1640e9, dimensions=2),
        Chip("a100", 312e12, 80 * GIB, 2039e9),
        Chip("h100", 989e12, 80 * GIB, 3350e9),
        Chip("h200", 989e12, 141 * GIB, 4800e9),
    )
}

LOCAL = "local"

_ALIASES = {"v5litepod": "v5e"}
_FLAT_SLICES = {4: (2, 2, 1)}
"""Slices of a three-dimensional torus that do not end with their longest side: one host."""


@dataclasses.dataclass(frozen=True)
class Topology:
    """Some chips of one kind.

    Attributes:
        chip: The kind; None for whatever this machine has.
        shape: Chips along each dimension of a TPU slice, `(number,)` for GPUs, empty for `local`.
    """

    chip: Chip | None
    shape: tuple[int, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether this machine's own devices are meant."""
        return self.chip is None

    @property
    def is_tpu(self) -> bool:
        """Whether it is a slice of TPUs, for which JAX can compile without one."""
        return self.chip is not None and self.chip.dimensions > 0

    @property
    def is_gpu(self) -> bool:
        """Whether it is a number of GPUs, for which JAX can compile without one, too."""
        return self.chip is not None and not self.chip.dimensions

    @property
    def num_devices(self) -> int:
        """Chips, each of which is one device of JAX; 0 for `local`, which only JAX can count."""
        return math.prod(self.shape) if self.shape else 0

    def __str__(self) -> str:
        if self.chip is None:
            return LOCAL
        if self.is_tpu:
            return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"
        return f"{self.chip.name}-{self.num_devices}"


def parse_topology(text: str) -> Topology:
    """Reads a topology in any of its forms.

    Args:
        text: `v5e:4x4`, a slice by its shape; `v5e-16`, one by its size as Cloud TPU counts it
            (chips for v5e and v6e, two for each chip for v4 and v5p); `h100-8`, or `h100` for one; or
            `local`.

    Raises:
        ValueError: If the text is none of these, the chip is not known, or there is no such slice.
    """
    text = text.strip().lower()
    if text == LOCAL:
        return Topology(None)
    if text in CHIPS and not CHIPS[text].dimensions:
        return Topology(CHIPS[text], (1,))
    match = re.fullmatch(r"(\w+?)(?:pod)?(?::(\d+(?:x\d+)*)|-(\d+))", text)
    name = text.partition(":")[0].partition("-")[0]
    name = _ALIASES.get(name, name)
    if match is None or name not in CHIPS:
        raise ValueError(
            f"{text!r} is no topology. Write v5e:4x4 (a shape), v5e-16 (a size), h100-8 or local; "
            f"the chips are {', '.join(CHIPS)}."
        )
    chip = CHIPS[name]
    if match[2]:
        shape = tuple(map(int, match[2].split("x")))
        if len(shape) != chip.dimensions or 0 in shape:
            wanted = "x".join("4" * chip.dimensions)
            hint = f"a shape like {name}:{wanted}" if chip.dimensions else f"a number: {name}-8"
            raise ValueError(f"{text!r} is no topology: {name} needs {hint}.")
        return Topology(chip, shape)
    chips, rest = divmod(int(match[3]), chip.size_unit)
    if rest or not chips:
        raise ValueError(
            f"{text!r} is no topology: the number counts {chip.size_unit} for each chip of {name}."
        )
    return Topology(chip, _slice_of(chip, chips, text) if chip.dimensions else (chips,))


def _slice_of(chip: Chip, chips: int, text: str) -> tuple[int, ...]:
    """The usual slice of so many chips: sides that are powers of two, as equal as they can be."""
    exponent = chips.bit_length() - 1
    if chips != 2**exponent:
        raise ValueError(f"{text!r} is no topology: slices have 1, 2, 4, 8, ... chips.")
    if chip.dimensions == 3 and chips in _FLAT_SLICES:
        return _FLAT_SLICES[chips]
    least, more = divmod(exponent, chip.dimensions)
    return tuple(
        2 ** (least + (place >= chip.dimensions - more)) for place in range(chip.dimensions)
    )
