"""The pace of a training."""

from __future__ import annotations

import dataclasses
import time


@dataclasses.dataclass(frozen=True)
class Paced:
    """Steps that were made one after the other.

    Attributes:
        steps: How many, but for the first one and those after a pause.
        seconds: That they took.
        waited: Seconds of these in which the devices waited for images.
    """

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def __add__(self, other: Paced) -> Paced:
        return Paced(
            self.steps + other.steps, self.seconds + other.seconds, self.waited + other.waited
        )

    @property
    def steps_per_second(self) -> float | None:
        """None before there are any."""
        return self.steps / self.seconds if self.seconds else None

    @property
    def waited_share(self) -> float | None:
        """Of the time, from 0 to 1; None before there are any."""
        return self.waited / self.seconds if self.seconds else None


class Pace:
    """Measures the time between the steps of a session.

    Attributes:
        measured: So far.
    """

    def __init__(self) -> None:
        self.measured = Paced()
        self._last: tuple[float, float] | None = None

    def stepped(self, waited: float) -> None:
        """Notes that a step has been made, and how long has been waited for images by now."""
        now = time.perf_counter()
        if self._last is not None:
            self.measured += Paced(1, now - self._last[0], waited - self._last[1])
        self._last = now, waited

    def pause(self) -> None:
        """Leaves out the time until the next step."""
        self._last = None
