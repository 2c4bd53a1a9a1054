"""The Pareto front of cost and accuracy."""

from __future__ import annotations

import numpy as np


def pareto_front(cost: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Returns the indices of the children than which none is cheaper and no worse, by cost.

    Of children equal in both, the earliest is taken.
    """
    order = np.lexsort((np.arange(len(cost)), -score, cost))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], score[order]]))
    return order[score[order] > best[:-1]]
