"""Where the batch lies in what the search's program keeps: first, or last for TPUs.

A TPU computes on tiles whose last axis has 128 places. Few channels leave most of them empty, a batch
fills them. Its compiler knows that, and would bring what it finds in another order into this one in front
of each operation of each branch; so there the program keeps everything in this order.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from nasnet_jax.nn.layers import LayerConfig


def keep(config: LayerConfig, images: jax.Array) -> jax.Array:
    """`[..., batch, height, width, F]` in the order in which it is kept."""
    return jnp.moveaxis(images, -4, -1) if config.batch_last else images


def images(config: LayerConfig, kept: jax.Array) -> jax.Array:
    """What is kept as `[..., batch, height, width, F]`."""
    return jnp.moveaxis(kept, -1, -4) if config.batch_last else kept


def spatial_axes(config: LayerConfig) -> tuple[int, int]:
    """Where height and width of a batch lie in what is kept."""
    return (0, 1) if config.batch_last else (1, 2)
