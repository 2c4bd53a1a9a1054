"""The compiled functions of a training, and the mesh that they run on."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from absl import logging
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nasnet_jax.data import Dataset, channel_statistics, random_crop_flip, standardize
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import Architecture
from nasnet_jax.train.config import train_macro
from nasnet_jax.train.optimizer import make_optimizer


class TrainState(NamedTuple):
    """All that a training is between two steps.

    Attributes:
        step: Updates made so far.
        loss_sum: Sum of the losses of the steps of this epoch.
        parameters: Of the network.
        statistics: Running mean and variance of every batch normalization.
        optimizer: State of the optimizer.
    """

    step: jax.Array
    loss_sum: jax.Array
    parameters: nnx.State
    statistics: nnx.State
    optimizer: Any


def make_mesh(config: ml_collections.ConfigDict) -> Mesh:
    """A mesh with the one axis `data`, over as many devices as divide the batch evenly.

    A group of examples that batch normalization looks at together is not split over devices.
    """
    devices = jax.devices()
    units = config.batch_size // (config.batch_norm.group_size or 1)
    used = max(n for n in range(1, len(devices) + 1) if units % n == 0)
    if used < len(devices):
        logging.warning(
            "%d of %d devices are used: batch_size %d in groups of batch_norm.group_size %d cannot "
            "be dealt evenly to more.",
            used,
            len(devices),
            config.batch_size,
            config.batch_norm.group_size,
        )
    return Mesh(np.array(devices[:used]), ("data",))


class TrainProgram:
    """Initialisation, one training step and the evaluation of one batch, on a mesh.

    Parameters are replicated over the mesh and batches are split over its axis `data`.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        architecture: Architecture,
        dataset: Dataset,
        mesh: Mesh,
    ) -> None:
        self.steps_per_epoch = len(dataset.train_images) // config.batch_size
        self.config = config
        self.replicated = NamedSharding(mesh, P())
        self.by_example = NamedSharding(mesh, P("data"))
        self._statistics = channel_statistics(dataset.train_images)
        self._optimizer = make_optimizer(config, config.epochs * self.steps_per_epoch)
        layers = LayerConfig(
            norm_decay=config.batch_norm.decay,
            norm_epsilon=config.batch_norm.epsilon,
            norm_group=config.batch_norm.group_size or None,
        )
        self._make = functools.partial(
            NASNet, architecture, train_macro(config, dataset), config=layers
        )
        model = nnx.eval_shape(lambda: self._make(rngs=nnx.Rngs(0)))
        self._graph, *_ = nnx.split(model, nnx.Param, nnx.BatchStat)
        model.eval()
        self._eval_graph, *_ = nnx.split(model, nnx.Param, nnx.BatchStat)
        self.init = jax.jit(self._init, out_shardings=self.replicated)
        self.update = jax.jit(
            self._update,
            in_shardings=(self.replicated, self.by_example, self.by_example),
            out_shardings=self.replicated,
            donate_argnums=0,
        )
        self.evaluate = jax.jit(
            self._evaluate,
            in_shardings=(self.replicated, self.by_example, self.by_example),
            out_shardings=self.replicated,
        )

    def _init(self) -> TrainState:
        """The state before the first step, from `config.seed`."""
        model = self._make(rngs=nnx.Rngs(self.config.seed))
        parameters, statistics = nnx.state(model, nnx.Param), nnx.state(model, nnx.BatchStat)
        return TrainState(
            jnp.zeros((), jnp.int32),
            jnp.zeros((), jnp.float32),
            parameters,
            statistics,
            self._optimizer.init(parameters),
        )

    def _update(self, state: TrainState, images: jax.Array, labels: jax.Array) -> TrainState:
        """One step on `[batch, height, width, channels]` uint8 images and `[batch]` labels."""
        # Folded twice, so that no step's augmentation has the key of the initial parameters.
        key = jax.random.fold_in(
            jax.random.fold_in(jax.random.key(self.config.seed), 1), state.step
        )
        inputs = random_crop_flip(
            key,
            standardize(images, *self._statistics),
            padding=self.config.crop_padding,
            flip=self.config.flip,
        )

        def loss_of(parameters: nnx.State) -> tuple[jax.Array, nnx.State]:
            # A copy, because the statistics came from outside of the gradient's trace.
            model = nnx.merge(self._graph, parameters, state.statistics, copy=True)
            losses = optax.softmax_cross_entropy_with_integer_labels(model(inputs), labels)
            return losses.mean(), nnx.state(model, nnx.BatchStat)

        (loss, statistics), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.parameters)
        updates, optimizer = self._optimizer.update(gradient, state.optimizer, state.parameters)
        earlier = jnp.where(state.step % self.steps_per_epoch == 0, 0.0, state.loss_sum)
        return TrainState(
            state.step + 1,
            earlier + loss,
            optax.apply_updates(state.parameters, updates),
            statistics,
            optimizer,
        )

    def _evaluate(self, state: TrainState, images: jax.Array, labels: jax.Array) -> jax.Array:
        """The number of right answers on a batch; a label of -1 marks padding, never right."""
        model = nnx.merge(self._eval_graph, state.parameters, state.statistics)
        logits = model(standardize(images, *self._statistics))
        return (logits.argmax(-1) == labels).sum()
