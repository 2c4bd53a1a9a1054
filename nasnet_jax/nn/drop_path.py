"""DropPath: while training, whole paths of a cell are left out for some of the examples.

A path is one of the two operations of a block, and it is dropped for each example on its own. As in
the released code the identity is never dropped, and the paths that stay are divided by the
probability to stay, so that inference needs no correction (the paper, A.5, scales there instead).
*Scheduled* DropPath raises the probability linearly over the training; the schedule is the
training's, and here its present value comes in.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

NEVER_DROPPED = "identity"
"""The one operation whose output always stays (slim's `_apply_conv_operation`)."""


class DropPath(NamedTuple):
    """Drops the paths of a network, of a cell or of a block, whichever its key belongs to.

    Attributes:
        key: A typed key.
        probability: Of dropping a path for an example, a float32 scalar in [0, 1].
    """

    key: jax.Array
    probability: jax.Array | float

    def part(self, number: int) -> DropPath:
        """For the part with this number, whose draws are independent of those of other parts."""
        return DropPath(jax.random.fold_in(self.key, number), self.probability)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Drops a path's output `[batch, ...]` for some examples and scales it up for the others."""
        keep = 1.0 - jnp.asarray(self.probability, jnp.float32)
        stays = jax.random.bernoulli(self.key, keep, (x.shape[0],) + (1,) * (x.ndim - 1))
        # Zero where all are dropped, not zero times infinity.
        return (x * jnp.where(stays, 1.0 / keep, 0.0)).astype(x.dtype)


def depth_share(index: int, num_cells: int) -> float:
    """The share of the drop probability that a cell gets where it is scaled by depth.

    Args:
        index: Of the cell among all cells, those of the stem and the reductions too, from 0.
        num_cells: Number of all cells.

    Returns:
        `(index + 1) / num_cells`: from almost nothing in the first cell to 1 in the last one (slim).
    """
    return (index + 1) / num_cells
