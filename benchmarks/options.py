"""What a benchmark is told."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How much to measure, and on what.

    Attributes:
        pairs: Measurements of each side.
        quick: Whether to do just enough to see that a benchmark works; its numbers mean nothing.
        machine: As `results.machine` describes it.
        sizes: Of children, by name, where a benchmark has several.
    """

    pairs: int
    quick: bool
    machine: dict[str, Any]
    sizes: tuple[str, ...]

    @property
    def platform(self) -> str:
        """`cpu`, `gpu` or `tpu`."""
        return self.machine["platform"]

    @property
    def devices(self) -> int:
        """Of the machine: its cores, where there is no accelerator."""
        return self.machine["devices"]

    @property
    def children(self) -> int:
        """To train in one measurement."""
        return 2 if self.quick else 8

    def settings(self, **fields: Any) -> dict[str, Any]:
        """Settings of a worker; fewer steps in a quick run."""
        return {"platform": self.platform, **({"steps": 2} if self.quick else {}), **fields}

    def core(self, number: int) -> dict[str, int]:
        """Settings that keep a worker on one core; none where an accelerator does the work."""
        return {"core": number} if self.platform == "cpu" else {}
