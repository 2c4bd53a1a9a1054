"""The images that a search validates on."""

from __future__ import annotations

import numpy as np


def hold_out(num_examples: int, num_held_out: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits training examples at random: some train the children, the others give their rewards.

    The paper holds out 5,000 of CIFAR-10's 50,000 training images (appendix A.1). The test set has
    no part in a search.

    The held-out examples come in an order drawn from the seed too: they are judged in batches by
    the statistics of each batch, and a data set may list class after class, as every folder of
    images does.

    Args:
        num_examples: Number of training examples.
        num_held_out: How many of them to hold out.
        seed: Equal seeds give equal splits.

    Returns:
        The positions of the remaining examples, int64 and ascending, and of the held-out ones,
        int64 in their random order.

    Raises:
        ValueError: If nothing would be held out or nothing would remain.
    """
    if not 0 < num_held_out < num_examples:
        raise ValueError(
            f"{num_held_out} of {num_examples} training images were to be held out for validation; "
            f"it must be at least 1 and leave at least 1 (at most {num_examples - 1})."
        )
    order = np.random.default_rng(seed).permutation(num_examples)
    return np.sort(order[num_held_out:]), order[:num_held_out]
