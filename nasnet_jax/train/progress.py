"""How far a training is, for those who wait for it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is known after `config.log_steps` steps, and after every evaluation.

    Attributes:
        step: Updates made.
        steps: Updates in all.
        epoch: Epochs made, not always a whole number.
        epochs: Epochs in all.
        loss: Mean training loss since the last multiple of `config.log_steps`, without the weight
            decay.
        test_accuracy: Share of the test images, or None without an evaluation.
        images_per_second: Since the first step of this session.
        seconds_left: Estimated from this session's pace.
    """

    step: int
    steps: int
    epoch: float
    epochs: float
    loss: float
    test_accuracy: float | None
    images_per_second: float
    seconds_left: float
