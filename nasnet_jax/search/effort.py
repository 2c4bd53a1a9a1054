"""What a search took, in all of its sessions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

from nasnet_jax.search.child_trainer import ChildTrainer

PHASES = ("data", "compile", "search", "rerank")


class Effort:
    """Seconds by phase, the trainer's counts, and proposals that were refused.

    Attributes:
        seconds: By phase.
        refused: Architectures that were proposed and are above the limits.
    """

    def __init__(self, trainer: ChildTrainer) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.refused = 0
        self._trainer = trainer

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the time that the block takes to a phase."""
        started = time.time()
        try:
            yield
        finally:
            self.seconds[phase] += time.time() - started

    def add(self, earlier: Mapping[str, float]) -> None:
        """Adds what `numbers` gave in earlier sessions; what they did not keep yet is missing."""
        for phase in self.seconds:
            self.seconds[phase] += earlier.get(phase, 0.0)
        self.refused += int(earlier.get("refused", 0))
        self._trainer.compilations += int(earlier.get("compilations", 0))
        self._trainer.busy_seconds += earlier.get("busy", 0.0)
        self._trainer.device_seconds += earlier.get("devices", 0.0)

    def numbers(self) -> dict[str, float]:
        """All of it, for a checkpoint."""
        return {
            **self.seconds,
            "refused": self.refused,
            "compilations": self._trainer.compilations,
            "busy": self._trainer.busy_seconds,
            "devices": self._trainer.device_seconds,
        }
