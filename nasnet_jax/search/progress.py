"""How far a search is, for those who wait for it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a search is.

    Attributes:
      phase: `search` or `rerank`.
      share: of the phase that is done, from 0 to 1.
      seconds_left: of the phase, estimated from this session's pace; None before there is one.
      children: finished so far.
      best_reward: so far; None before the first child.
    """

    phase: str
    share: float
    seconds_left: float | None
    children: int
    best_reward: float | None
