"""The pace of a training."""

from __future__ import annotations

import time


class Pace:
    """Measures the time between steps, and how much of it was waiting for images."""

    def __init__(self) -> None:
        self._steps = 0
        self._seconds = 0.0
        self._waited = 0.0
        self._last: tuple[float, float] | None = None

    def stepped(self, waited: float) -> None:
        """Notes that a step has been made, and how long has been waited for images by now."""
        now = time.perf_counter()
        if self._last is not None:
            self._steps += 1
            self._seconds += now - self._last[0]
            self._waited += waited - self._last[1]
        self._last = now, waited

    def pause(self) -> None:
        """Leaves out the time until the next step."""
        self._last = None

    @property
    def steps_per_second(self) -> float | None:
        """None before the second step."""
        return self._steps / self._seconds if self._seconds else None

    @property
    def waited_share(self) -> float | None:
        """Of the time, from 0 to 1; None before the second step."""
        return self._waited / self._seconds if self._seconds else None
