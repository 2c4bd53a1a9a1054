"""How far a search or a training is, for those who wait for it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        phase: `search`, `rerank` or `train`.
        share: Of the phase that is done, from 0 to 1.
        seconds_left: Of the phase, estimated from this session's pace; None before there is one.
    """

    phase: str
    share: float
    seconds_left: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchProgress(Progress):
    """How far a search is: told after every epoch of a launch.

    Attributes:
        children: Finished so far.
        best_reward: So far; None before the first child.
    """

    children: int
    best_reward: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainProgress(Progress):
    """How far a training is: told after `config.log_steps` steps, and after every evaluation.

    Attributes:
        step: Updates made.
        steps: Updates in all.
        epoch: Epochs made, not always a whole number.
        epochs: Epochs in all.
        loss: Mean training loss since the last multiple of `config.log_steps`, without the weight
            decay.
        test_accuracy: Share of the test images, or None without an evaluation.
        images_per_second: Since the first step of this session; 0 before the second one.
    """

    step: int
    steps: int
    epoch: float
    epochs: float
    loss: float
    test_accuracy: float | None
    images_per_second: float
