"""How much of a device's memory its children take, before anything is compiled."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from nasnet_jax.supernet.network import Supernet


def training_bytes(supernet: Supernet, batch: int) -> int:
    """What training takes at its peak, without the data set and the code.

    An estimate of what lies in memory longest; the compiler needs about a fifth more at quickstart size.

    Args:
        supernet: With room for the children.
        batch: Images of a step on a device.
    """
    rows = jax.eval_shape(lambda: supernet.rows(batch))
    written = _bytes(rows)
    # Walking back, a stage's rows have cotangents.
    cotangents = max(_bytes(stage.values) for stage in rows)
    # Outputs of its last two cells, hidden states and as one, and the cotangents of both.
    states = 2 * supernet.room.children * (supernet.num_blocks + 2)
    outputs = sum(4 * states * _bytes(stage.values) // len(stage.values) for stage in rows)
    # Parameters, their momentum, and their gradient.
    return written + cotangents + outputs + 3 * _bytes(supernet.shapes)


def _bytes(tree: object) -> int:
    return sum(
        int(np.prod(leaf.shape)) * jnp.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree)
    )
