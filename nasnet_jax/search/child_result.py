"""What becomes of a child, and what it is between two rungs."""

from __future__ import annotations

from typing import Any, NamedTuple

from nasnet_jax.space import Architecture


class ChildResult(NamedTuple):
    """What became of a child.

    Attributes:
      reward: what the accuracy is worth at the network's cost (`nasnet_jax.search.budget`).
      accuracy: on the held-out images, from 0 to 1; 0 if it diverged.
      diverged: whether a logit was not finite.
      seconds: wall time of its row, shared with the children beside it.
      epochs: of its training.
      first_reward: after the first rung; `reward` where there is no halving.
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
      architecture: in its canonical form.
      reward: as of `ChildResult`.
      params: of `ChildTrainer.solo`, NumPy arrays, which all processes of a pod have.
    """

    architecture: Architecture
    reward: float
    params: Any


class PausedChild(NamedTuple):
    """A child that can be trained on, in any launch; NumPy arrays as of `TrainedChild`.

    Attributes:
      params: its weights.
      opt_state: the optimizer's state, of the same form.
    """

    params: Any
    opt_state: Any


class Span(NamedTuple):
    """A part of a training.

    Attributes:
      begin: epochs before it.
      end: epochs behind which it ends.
      epochs: of the whole training, the period of the learning rate's cosine.
    """

    begin: int
    end: int
    epochs: int
