"""What is known of a training besides its state: kept with its checkpoints, summed up at its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nasnet_jax.train.evaluation import Evaluation
from nasnet_jax.train.pace import Paced

ACCURACY = "test_accuracy"
"""Of a checkpoint that was evaluated; by it the best ones are kept."""


@dataclasses.dataclass(frozen=True)
class Record:
    """What is known after a step.

    Attributes:
        loss: Mean training loss since the last multiple of `config.log_steps`; None before a step.
        evaluation: Of the state after this step, if it was made.
        best_accuracy: The highest test accuracy so far.
        seconds: That the steps of all sessions took, compilation and evaluations included.
        pace: Of the steps of all sessions.
    """

    loss: float | None = None
    evaluation: Evaluation | None = None
    best_accuracy: float = 0.0
    seconds: float = 0.0
    pace: Paced = Paced()

    def to_metrics(self) -> dict[str, Any]:
        """The same as JSON has it, with the names that they have in `summary.json`."""
        return {
            **_of_evaluation(self.evaluation),
            "best_test_accuracy": self.best_accuracy,
            "train_loss": self.loss,
            "seconds": self.seconds,
            "pace": dataclasses.asdict(self.pace),
        }

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Any]) -> Record:
        """The inverse of `to_metrics`."""
        evaluation = None
        if ACCURACY in metrics:
            evaluation = Evaluation(
                top1=metrics[ACCURACY],
                top5=metrics["test_top5"],
                loss=metrics["test_loss"],
                count=metrics["test_count"],
            )
        return cls(
            loss=metrics["train_loss"],
            evaluation=evaluation,
            best_accuracy=metrics["best_test_accuracy"],
            seconds=metrics["seconds"],
            pace=Paced(**metrics["pace"]),
        )

    def summary(self, *, batch_size: int, **facts: Any) -> dict[str, Any]:
        """What is in `summary.json`.

        Args:
            batch_size: Of the training.
            **facts: Of the training as a whole, which stand between results and pace.
        """
        rate, waited = self.pace.steps_per_second, self.pace.waited_share
        return {
            **_of_evaluation(self.evaluation),
            "best_test_accuracy": self.best_accuracy,
            "train_loss": self.loss,
            **facts,
            "images_per_second": rate and round(rate * batch_size, 2),
            "input_wait_share": waited and round(waited, 4),
            "seconds": round(self.seconds, 2),
        }


def _of_evaluation(evaluation: Evaluation | None) -> dict[str, Any]:
    if evaluation is None:
        return {}
    return {
        ACCURACY: evaluation.top1,
        "test_top5": evaluation.top5,
        "test_loss": evaluation.loss,
        "test_count": evaluation.count,
    }
