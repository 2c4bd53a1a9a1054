"""Where the weights of a stage's calls live: how they start, and whose they are.

`Owners` (`nasnet_jax.supernet.tape`) says it call by call; here it is said for every row of kernels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasnet_jax.supernet.kinds import Kinds
from nasnet_jax.supernet.tape import Owners, Weights


class RowOwners(NamedTuple):
    """For every row of kernels of a stage.

    Attributes:
        call: int32 `[rows]`, whose kernels it belongs to.
        within: int32 `[rows]`, its place in them.
        used: bool `[rows]`, whether it is a kernel at all.
    """

    call: Any
    within: Any
    used: Any


def row_owners(kinds: Kinds, owners: Owners, rows: int) -> RowOwners:
    """Whose the rows are.

    Args:
        kinds: Of the calls.
        owners: Of the stage.
        rows: Of its kernels.
    """
    counts = jnp.asarray([0, *(kind.rows for kind in kinds.all)], jnp.int32)[owners.kind + 1]
    ends = jnp.cumsum(counts)
    number = jnp.arange(rows)
    call = jnp.repeat(jnp.arange(len(counts)), counts, total_repeat_length=rows)
    within = number - (ends - counts)[call]
    return RowOwners(call, within, (number < ends[-1]) & (within < owners.used[call]))


def initial_weights(kinds: Kinds, owners: Owners, drawn: jax.Array, rows: int) -> Weights:
    """How the weights of the calls start.

    Args:
        kinds: Of the calls.
        owners: Of the stage.
        drawn: `[places, rows of a kind, F]`, truncated normal numbers of deviation 1 for each place
            of a child; equal for all children (common random numbers).
        rows: Of the stage's kernels.
    """
    of_row = row_owners(kinds, owners, rows)
    stds = np.zeros((len(kinds.all), kinds.rows), np.float32)
    for of_kind, kind in zip(stds, kinds.all, strict=True):
        row = 0
        for part in kind.parts:
            of_kind[row : row + part.rows] = part.std
            row += part.rows
    std = jnp.asarray(stds)[owners.kind[of_row.call], of_row.within]
    kernels = std[:, None] * drawn[owners.place[of_row.call], of_row.within]
    kernels = jnp.where(of_row.used[:, None], kernels, 0.0)
    unit = jnp.array([1.0, 0.0])[:, None]
    norms = (len(owners.kind), kinds.inside + 1, 2, kinds.features)
    return Weights(kernels, jnp.broadcast_to(unit, norms))


def children(kinds: Kinds, owners: Owners, rows: int) -> Weights:
    """Whose each row of kernels and each call's norms are, int32 `[rows]` and `[calls]`; nobody's: -1."""
    of_row = row_owners(kinds, owners, rows)
    return Weights(jnp.where(of_row.used, owners.child[of_row.call], -1), owners.child)


def clip_by_child_norm(grads: Any, owners: Any, max_norm: float) -> Any:
    """Scales every child's gradient down to a norm of at most `max_norm`, as if it were alone.

    Args:
        grads: A tree of arrays whose leading axis is divided among the children.
        owners: For each of them int32 `[leading axis]`, whose it is; -1 for nobody's. The first one
            is that of the children themselves.
        max_norm: Of all of a child's gradient together.
    """
    leaves, tree = jax.tree.flatten(grads)
    of_leaves = jax.tree.leaves(owners)
    children = of_leaves[0][:, None]
    squares = jnp.zeros(len(children), leaves[0].dtype)
    for leaf, owner in zip(leaves, of_leaves, strict=True):
        rows = jnp.square(leaf).reshape(len(leaf), -1).sum(1)
        # Chosen and not multiplied: a child whose gradient is not finite harms no other.
        squares += jnp.where(children == owner, rows, 0.0).sum(1)
    norms = jnp.sqrt(squares)
    factors = jnp.where(norms < max_norm, 1.0, max_norm / norms)
    scaled = [
        leaf * factors[owner].reshape(-1, *[1] * (leaf.ndim - 1))
        for leaf, owner in zip(leaves, of_leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, scaled)
