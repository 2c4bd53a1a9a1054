"""What becomes of a child, and what it is between two rungs."""

from __future__ import annotations

from typing import Any, NamedTuple

from nasnet_jax.space import Architecture


class ChildResult(NamedTuple):
    """What became of a child.

    Attributes:
        reward: What the accuracy is worth at the network's cost (`nasnet_jax.search.budget`).
        accuracy: On the held-out images, from 0 to 1; 0 if it diverged.
        diverged: Whether a logit was not finite.
        seconds: Wall time of its row, shared with the children beside it.
        epochs: Of its training.
        first_reward: After the first rung; `reward` where there is no halving.
    """

    reward: float
    accuracy: float
    diverged: bool
    seconds: float
    epochs: int
    first_reward: float


class TrainedChild(NamedTuple):
    """A child with its weights.

    Attributes:
        architecture: In its canonical form.
        reward: As of `ChildResult`.
        params: Of `ChildTrainer.solo`, NumPy arrays, which all processes of a pod have.
    """

    architecture: Architecture
    reward: float
    params: Any


class PausedChild(NamedTuple):
    """A child that can be trained on, in any launch; NumPy arrays as of `TrainedChild`.

    Attributes:
        params: Its weights.
        opt_state: The optimizer's state, of the same form.
    """

    params: Any
    opt_state: Any


class Span(NamedTuple):
    """A part of a training.

    Attributes:
        begin: Epochs before it.
        end: Epochs behind which it ends.
        epochs: Of the whole training, the period of the learning rate's cosine.
    """

    begin: int
    end: int
    epochs: int
