"""The optimizer of a training: momentum SGD on a cosine."""

from __future__ import annotations

from typing import Any

import jax
import ml_collections
import optax


def learning_rate_schedule(config: ml_collections.ConfigDict, total_steps: int) -> optax.Schedule:
    """From `config.learning_rate` to 0 along half a cosine over the whole training."""
    return optax.cosine_decay_schedule(config.learning_rate, total_steps)


def make_optimizer(
    config: ml_collections.ConfigDict, total_steps: int
) -> optax.GradientTransformation:
    """Weight decay on kernels, then clipping by the global norm, then SGD with momentum.

    The decay comes first because it is a part of the loss in slim, whose gradient is clipped.
    """
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, mask=_kernels),
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.sgd(learning_rate_schedule(config, total_steps), momentum=config.momentum),
    )


def _kernels(parameters: Any) -> Any:
    """True for kernels, False for the scales and offsets of batch normalization and for biases."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "kernel" in jax.tree_util.keystr(path), parameters
    )
