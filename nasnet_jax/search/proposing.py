"""Batches of architectures that meet the limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from nasnet_jax.search.strategy import Proposal, Strategy

MOST_DRAWS = 1_000
"""For one batch. Below a share of about a thousandth of what is proposed, limits are an error."""


class Drawn(NamedTuple):
    """A batch.

    Attributes:
        state: Of the strategy, after the last draw.
        proposal: Of as many points as were asked for, all of which are allowed.
        refused: How many others were drawn on the way.
    """

    state: Any
    proposal: Proposal
    refused: int


def draw(
    strategy: Strategy, state: Any, n: int, allowed: Callable[[np.ndarray], np.ndarray]
) -> Drawn:
    """Lets a strategy propose until `n` of its points are allowed.

    It never learns of the others: `benchmarks/budget/limits.py` compares that with a reward of their
    own. In a pod the first process's proposals are those of all.

    Args:
        strategy: That proposes.
        state: Before it does.
        n: Points of the batch, and of each draw.
        allowed: Of decisions `[n, D]`, bool `[n]`.

    Raises:
        ValueError: If `MOST_DRAWS` draws hold too few.
    """
    decisions: list[np.ndarray] = []
    log_probs: list[np.ndarray] = []
    number = refused = 0
    for _ in range(MOST_DRAWS):
        state, proposal = strategy.propose(state, n)
        if jax.process_count() > 1:
            # One decision for the pod, should the processes' arithmetic differ in a last bit.
            proposal = multihost_utils.broadcast_one_to_all(proposal)
        rows = np.asarray(proposal.decisions)
        kept = np.flatnonzero(allowed(rows))[: n - number]
        decisions.append(rows[kept])
        log_probs.append(np.asarray(proposal.log_probs)[kept])
        number += len(kept)
        # Behind the last one that is needed nothing counts.
        refused += (int(kept[-1]) + 1 if number == n else n) - len(kept)
        if number == n:
            whole = (jnp.asarray(np.concatenate(parts)) for parts in (decisions, log_probs))
            return Drawn(state, Proposal(*whole), refused)
    raise ValueError(
        f"Of {MOST_DRAWS * n:,} architectures that the strategy proposed only {number} are within "
        f"limits.max_params and limits.max_macs, too few for a batch of {n}. Raise the limits."
    )
