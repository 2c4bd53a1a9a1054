"""The compiled functions of a training, and the mesh that they run on."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nasnet_jax.memory import check_parameters_fit
from nasnet_jax.nn.initial import draws, started
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.ranges import STEP
from nasnet_jax.space import Architecture, cost
from nasnet_jax.train.config import config_macro, layer_config
from nasnet_jax.train.optimizer import learning_rate_schedule, make_optimizer, moving_average


class Averages(NamedTuple):
    """Moving averages of `TrainState`'s fields with the same names."""

    parameters: nnx.State
    statistics: nnx.State


class TrainState(NamedTuple):
    """All that a training is between two steps.

    Attributes:
        step: Updates made so far.
        loss_sum: Sum of the losses since the last multiple of `config.log_steps`.
        parameters: Of the network with its auxiliary head.
        statistics: Running mean and variance of every batch normalization.
        optimizer: State of the optimizer.
        averages: Moving averages, or None without `config.ema_decay`.
    """

    step: jax.Array
    loss_sum: jax.Array
    parameters: nnx.State
    statistics: nnx.State
    optimizer: Any
    averages: Averages | None

    @property
    def evaluated(self) -> Averages:
        """The parameters and statistics that are evaluated and saved as the model."""
        return self.averages or Averages(self.parameters, self.statistics)


class Randomness(NamedTuple):
    """What is random in a step. Data and no constants of the program, so that trainings which differ
    in nothing else find each other's compilations in JAX's cache.

    Attributes:
        key_data: Of a key folded once, so that no step has the key of the initial parameters.
        final_drop_prob: Of DropPath, at the end of the training.
    """

    key_data: Any
    final_drop_prob: Any


class StepMetrics(NamedTuple):
    """What is known of one step.

    Attributes:
        loss: Of the classifier and the auxiliary head, without the weight decay.
        gradient_norm: Before clipping, without the weight decay.
        loss_mean: Mean of `loss` since the last multiple of `config.log_steps`.
    """

    loss: jax.Array
    gradient_norm: jax.Array
    loss_mean: jax.Array


class TrainProgram:
    """Initialisation and one training step, on a mesh.

    Parameters are replicated over the mesh, and batches are split over its axis `data`.

    Attributes:
        total_steps: Of the whole training.
        steps_per_epoch: Need not be whole: epochs follow each other without a gap.
        schedule: The learning rate of every step.
        graph: Of the network for inference, without an auxiliary head.
        randomness: The last argument of `update`, after a state and a batch.
        replicated: The sharding of the state.
        by_example: The sharding of a batch `[accumulation_steps, examples, ...]`.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        architecture: Architecture,
        mesh: Mesh,
        *,
        steps_per_epoch: float,
    ) -> None:
        self.config = config
        self.steps_per_epoch = steps_per_epoch
        self.total_steps = max(1, round(config.epochs * steps_per_epoch))
        if self.total_steps not in STEP:
            raise ValueError(f"epochs are {self.total_steps:,} steps; they must be {STEP}.")
        size = cost(architecture, config_macro(config)).params
        check_parameters_fit(size, mesh, "a smaller model.num_filters or model.num_cells")
        self.schedule = learning_rate_schedule(
            config, total_steps=self.total_steps, steps_per_epoch=steps_per_epoch
        )
        self.replicated = NamedSharding(mesh, P())
        self.by_example = NamedSharding(mesh, P(None, "data"))
        self._optimizer = make_optimizer(config, self.schedule)
        self._make = functools.partial(
            NASNet, architecture, config_macro(config), config=layer_config(config)
        )
        self._make_for_training = functools.partial(
            self._make,
            dropout_rate=config.dropout_rate,
            aux_head=config.aux_weight > 0,
            remat=config.remat,
        )
        network = nnx.eval_shape(lambda: self._make_for_training(rngs=nnx.Rngs(0)))
        self._graph = nnx.graphdef(network)
        self._shapes = Averages(nnx.state(network, nnx.Param), nnx.state(network, nnx.BatchStat))
        served = nnx.eval_shape(lambda: self._make(rngs=nnx.Rngs(0)))
        served.eval()
        self.graph = nnx.graphdef(served)
        self._served = Averages(nnx.state(served, nnx.Param), nnx.state(served, nnx.BatchStat))
        key = jax.random.fold_in(jax.random.key(config.seed), 1)
        self.randomness = Randomness(
            np.asarray(jax.random.key_data(key)), np.float32(config.drop_path.final_drop_prob)
        )
        init = jax.jit(self._init, out_shardings=self.replicated)
        first_key = jax.random.key_data(jax.random.key(config.seed))
        self.init = functools.partial(init, np.asarray(first_key))
        self.update = jax.jit(
            self._update,
            in_shardings=(self.replicated, self.by_example, self.by_example, self.replicated),
            out_shardings=self.replicated,
            donate_argnums=0,
        )
        # What is saved in the background must not be a buffer that the next update overwrites.
        self.snapshot = jax.jit(
            functools.partial(jax.tree.map, jnp.copy),
            in_shardings=(self.replicated,),
            out_shardings=self.replicated,
        )

    def served(self, state: TrainState) -> Averages:
        """The evaluated parameters and statistics, without those that only training needs."""
        parameters, statistics = state.evaluated
        return Averages(
            _part_of(parameters, self._served.parameters),
            _part_of(statistics, self._served.statistics),
        )

    def _init(self, key_data: jax.Array) -> TrainState:
        """The state before the first step, from `config.seed`."""
        drawn = draws(jax.random.wrap_key_data(key_data), self._shapes.parameters)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self._shapes.statistics)
        return self.start(started(drawn), started(zeros))

    def start(self, parameters: nnx.State, statistics: nnx.State) -> TrainState:
        """The state before the first step with these weights."""
        averages = None
        if self.config.ema_decay:
            averages = Averages(*jax.tree.map(jnp.copy, (parameters, statistics)))
        return TrainState(
            jnp.zeros((), jnp.int32),
            jnp.zeros((), jnp.float32),
            parameters,
            statistics,
            self._optimizer.init(parameters),
            averages,
        )

    def _update(
        self, state: TrainState, images: jax.Array, labels: jax.Array, randomness: Randomness
    ) -> tuple[TrainState, StepMetrics]:
        """One step.

        Args:
            state: Before it; its buffers are reused.
            images: `[accumulation_steps, examples, height, width, channels]` float32.
            labels: `[accumulation_steps, examples]` int32.
            randomness: `self.randomness`.
        """
        config = self.config
        key = jax.random.fold_in(jax.random.wrap_key_data(randomness.key_data), state.step)
        drop_prob = self._drop_prob(state.step, randomness.final_drop_prob)
        (loss, statistics), gradient = self._gradient(state, key, drop_prob, images, labels)
        updates, optimizer = self._optimizer.update(gradient, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        averages = state.averages
        if averages is not None:
            averages = moving_average(
                averages,
                Averages(parameters, statistics),
                decay=config.ema_decay,
                updates=state.step,
            )
        since = state.step % config.log_steps
        loss_sum = jnp.where(since == 0, 0.0, state.loss_sum) + loss
        new = TrainState(state.step + 1, loss_sum, parameters, statistics, optimizer, averages)
        return new, StepMetrics(loss, optax.tree.norm(gradient), loss_sum / (since + 1))

    def _gradient(
        self,
        state: TrainState,
        key: jax.Array,
        drop_prob: jax.Array | float,
        images: jax.Array,
        labels: jax.Array,
    ) -> tuple[tuple[jax.Array, nnx.State], nnx.State]:
        """Loss, new statistics and gradient of a batch: the means of those of its parts.

        Every part starts from the same statistics, whose update is linear in those of the batch; so
        the mean of the updates is the update of the whole batch at once.
        """

        def part(number: jax.Array | int, images: jax.Array, labels: jax.Array) -> Any:
            def loss_of(parameters: nnx.State) -> tuple[jax.Array, nnx.State]:
                # A copy, because the statistics came from outside of the gradient's trace.
                network = nnx.merge(self._graph, parameters, state.statistics, copy=True)
                logits, auxiliary = network.training_logits(
                    images,
                    key=jax.random.fold_in(key, number),
                    drop_prob=drop_prob,
                    scale_by_depth=self.config.drop_path.scale_by_depth,
                )
                loss = self._loss(logits, labels)
                if auxiliary is not None:
                    loss += self.config.aux_weight * self._loss(auxiliary, labels)
                return loss, nnx.state(network, nnx.BatchStat)

            return jax.value_and_grad(loss_of, has_aux=True)(state.parameters)

        parts = images.shape[0]
        if parts == 1:
            return part(0, images[0], labels[0])

        def add(total: Any, inputs: tuple[jax.Array, ...]) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, part(*inputs)), None

        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(part, 0, images[0], labels[0])
        )
        total, _ = jax.lax.scan(add, zeros, (jnp.arange(parts), images, labels))
        return jax.tree.map(lambda x: x / parts, total)

    def _loss(self, logits: jax.Array, labels: jax.Array) -> jax.Array:
        """Mean cross-entropy of `[batch, classes]` and `[batch]` with smoothed labels."""
        targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
        targets = optax.smooth_labels(targets, self.config.label_smoothing)
        return optax.softmax_cross_entropy(logits, targets).mean()

    def _drop_prob(self, step: jax.Array, final: jax.Array) -> jax.Array | float:
        """The present probability of dropping a path: linear in time (ScheduledDropPath)."""
        if not self.config.drop_path.final_drop_prob:
            # A number that the network sees while it is traced, and then draws nothing.
            return 0.0
        return final * jnp.minimum(step / self.total_steps, 1.0)


def _part_of(state: nnx.State, wanted: nnx.State) -> nnx.State:
    """The variables of `state` that `wanted` has."""
    variables = dict(nnx.to_flat_state(state))
    return nnx.from_flat_state({path: variables[path] for path, _ in nnx.to_flat_state(wanted)})
