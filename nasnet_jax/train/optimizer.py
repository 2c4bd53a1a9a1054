"""Optimizers and schedules of a training, with the meaning that TensorFlow gave them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax


def learning_rate_schedule(
    config: ml_collections.ConfigDict, *, total_steps: int, steps_per_epoch: float
) -> optax.Schedule:
    """The learning rate of every step.

    Args:
        config: Of the training; its learning rate is scaled by the batch (Goyal et al., 2017; slim
            scales by the number of replicas, which comes to the same).
        total_steps: After which a cosine is at 0.
        steps_per_epoch: Training examples by batch size; need not be whole.

    Returns:
        A function from the number of updates made before to the learning rate: half a cosine, or
        stairs, each lower by `decay_rate`.
    """
    options = config.optimizer
    first = options.learning_rate * config.batch_size / options.reference_batch_size
    if options.schedule == "cosine":
        return optax.cosine_decay_schedule(first, total_steps)
    return optax.exponential_decay(
        first,
        transition_steps=max(1, round(options.decay_epochs * steps_per_epoch)),
        decay_rate=options.decay_rate,
        staircase=True,
    )


def make_optimizer(
    config: ml_collections.ConfigDict, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Weight decay on kernels, then clipping by the global norm, then momentum SGD or RMSProp.

    The decay comes first because it is a part of the loss in slim, whose gradient is clipped.
    """
    options = config.optimizer
    if options.name == "momentum":
        rule = optax.sgd(schedule, momentum=options.momentum)
    else:
        # TensorFlow's RMSProp, not Hinton's: the average of squares starts at 1, epsilon stands
        # inside the root, and the learning rate is applied before the momentum accumulates.
        rule = optax.rmsprop(
            schedule,
            decay=options.rms_decay,
            eps=options.epsilon,
            initial_scale=1.0,
            eps_in_sqrt=True,
            momentum=options.momentum,
        )
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, mask=_kernels),
        optax.clip_by_global_norm(config.max_grad_norm)
        if config.max_grad_norm
        else optax.identity(),
        rule,
    )


def moving_average(average: Any, value: Any, *, decay: float, updates: jax.Array) -> Any:
    """Moves an average of trees of arrays towards a new value, as TensorFlow's does.

    Args:
        average: A tree of arrays.
        value: A tree of the same form.
        decay: What is kept of the average at each update, in the long run.
        updates: Number of updates before this one. At most `(1 + updates) / (10 + updates)` is
            kept, so that an early average is not one of the random beginning.
    """
    kept = jnp.minimum(decay, (1.0 + updates) / (10.0 + updates))
    return jax.tree.map(lambda a, v: kept * a + (1.0 - kept) * v, average, value)


def _kernels(parameters: Any) -> Any:
    """True for kernels, False for the scales and offsets of batch normalization and for biases."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "kernel" in jax.tree_util.keystr(path), parameters
    )
