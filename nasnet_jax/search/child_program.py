"""The one compiled program of a search: an epoch of training, or of evaluation, of any children.

Everything that changes during a search is an argument: architectures, the number of steps, the horizon
of the learning rate, whether the children are new and whether they are evaluated. So there is one
compilation, and every device runs it on a child of its own.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from nasnet_jax.data.augment import random_crop_flip, standardize
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.supernet import ArchitectureArrays, Supernet
from nasnet_jax.space import Macro


class Data(NamedTuple):
    """A search's data set, on every device.

    Attributes:
      train_images: uint8 `[number, height, width, channels]`.
      train_labels: int32 `[number]`.
      valid_images: uint8, as many as fill whole batches: the held-out images, then repetitions.
      valid_labels: int32.
      valid_mask: float32, 1 for each held-out image once, 0 for repetitions.
      mean: float32 `[channels]`, of the training images, on the scale 0 to 255.
      deviation: float32 `[channels]`.
    """

    train_images: Any
    train_labels: Any
    valid_images: Any
    valid_labels: Any
    valid_mask: Any
    mean: Any
    deviation: Any


class Child(NamedTuple):
    """What training a child changes.

    Attributes:
      parameters: of the supernet, in one vector, so that the optimizer is one pass over it.
      optimizer: optax's state, the momentum.
      finite: bool, whether every loss so far was finite.
    """

    parameters: Any
    optimizer: Any
    finite: Any


class Control(NamedTuple):
    """What a call is to do: data, so that nothing of it is compiled in.

    Attributes:
      first: bool, whether the children start from initial parameters.
      start: int32, the training step at which the call begins.
      steps: int32, training steps to make, at most an epoch of them.
      horizon: int32, the step at which the learning rate reaches zero.
      evaluate: bool, whether to count correct answers on the held-out images afterwards.
    """

    first: Any
    start: Any
    steps: Any
    horizon: Any
    evaluate: Any


class Result(NamedTuple):
    """Of one call: `correct` held-out images, and whether the child is still `finite`."""

    correct: Any
    finite: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChildProgram:
    """The program's constants; see `nasnet_jax.search.config` for the fields."""

    supernet: Supernet
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    max_grad_norm: float
    crop_padding: int
    flip: bool

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """Momentum SGD after clipping; the learning rate is applied where the horizon is known."""
        return optax.chain(
            optax.clip_by_global_norm(self.max_grad_norm), optax.trace(decay=self.momentum)
        )

    def init(self, key: jax.Array, architecture: ArchitectureArrays) -> Child:
        """A new child."""
        # Made before they become one vector: a TPU's compiler would make each of them within the one
        # operation that writes the vector, whose code is six times as large.
        parameters = lax.optimization_barrier(self.supernet.init(key, architecture))
        parameters, _ = ravel_pytree(parameters)
        return Child(parameters, self.optimizer.init(parameters), jnp.array(True))

    @property
    def shapes(self) -> Child:
        """Shapes and types of a child."""
        size = sum(leaf.size for leaf in jax.tree.leaves(self.supernet.shapes))
        parameters = jax.ShapeDtypeStruct((size,), jnp.float32)
        optimizer = jax.eval_shape(self.optimizer.init, parameters)
        return Child(parameters, optimizer, jax.ShapeDtypeStruct((), jnp.bool_))

    def sharded(self, mesh: Mesh) -> Any:
        """The program over a mesh: `(children, architectures, control, key, data)`.

        `children` and `architectures` have a leading axis of the mesh's `arch` size. The key is
        the same for all children (common random numbers), so that neither the place in a row nor
        the device changes a child.

        Returns:
          A jitted function to the children after the call, whose buffers it reuses, and a `Result`
          of `[arch]` arrays.
        """
        shards = mesh.shape["data"]

        def device(children: Child, architectures: Any, *rest: Any) -> tuple[Child, Result]:
            child, architecture = jax.tree.map(lambda x: x[0], (children, architectures))
            out = self.call(child, architecture, *rest, shards=shards)
            return jax.tree.map(lambda x: x[None], out)

        # The types of varying values are not checked: zeros in a branch and its sibling's results
        # would need casts everywhere, and the only collective is the mean below.
        mapped = jax.shard_map(
            device,
            mesh=mesh,
            in_specs=(P("arch"), P("arch"), P(), P(), P()),
            out_specs=P("arch"),
            check_vma=False,
        )
        return jax.jit(mapped, donate_argnums=0)

    def call(
        self,
        child: Child,
        architecture: ArchitectureArrays,
        control: Control,
        key_data: jax.Array,
        data: Data,
        *,
        shards: int,
    ) -> tuple[Child, Result]:
        """What one device does in a call: steps of one child, inside a `shard_map`.

        Args:
          child: before the call.
          architecture: of the child.
          control: what is to be done.
          key_data: of the search's child key.
          data: all of the data set.
          shards: how many devices of the axis `data` share each batch.

        Returns:
          The child after the call, and the call's result.
        """
        init_key, order_key, augment_key = jax.random.split(jax.random.wrap_key_data(key_data), 3)
        child = lax.cond(control.first, lambda: self.init(init_key, architecture), lambda: child)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.supernet.shapes)
        _, unravel = ravel_pytree(zeros)
        decayed, _ = ravel_pytree(self.supernet.kernels(architecture))
        steps_per_epoch = data.train_images.shape[0] // self.batch_size
        epoch_key = jax.random.fold_in(order_key, control.start // steps_per_epoch)
        order = jax.random.permutation(epoch_key, data.train_images.shape[0])
        local = self.batch_size // shards
        offset = lax.axis_index("data") * local

        def train_batch(number: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            step = control.start + number
            place = step % steps_per_epoch * self.batch_size + offset
            chosen = lax.dynamic_slice_in_dim(order, place, local)
            images = standardize(data.train_images[chosen], data.mean, data.deviation)
            key = jax.random.fold_in(jax.random.fold_in(augment_key, step), lax.axis_index("data"))
            images = random_crop_flip(key, images, padding=self.crop_padding, flip=self.flip)
            return images, data.train_labels[chosen], jnp.ones(local)

        def valid_batch(number: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            place = (number - control.steps) * self.batch_size + offset
            images, labels, mask = (
                lax.dynamic_slice_in_dim(x, place, local)
                for x in (data.valid_images, data.valid_labels, data.valid_mask)
            )
            return standardize(images, data.mean, data.deviation), labels, mask

        def update(child: Child, gradient: Any, number: jax.Array) -> Child:
            gradient = gradient + self.weight_decay * decayed * child.parameters
            updates, optimizer = self.optimizer.update(gradient, child.optimizer)
            done = (control.start + number) / control.horizon
            rate = self.learning_rate * 0.5 * (1.0 + jnp.cos(math.pi * done))
            return child._replace(parameters=child.parameters - rate * updates, optimizer=optimizer)

        def step(number: jax.Array, carry: tuple[Child, jax.Array]) -> tuple[Child, jax.Array]:
            child, correct = carry
            training = number < control.steps
            images, labels, weights = lax.cond(training, train_batch, valid_batch, number)
            logits, vjp = jax.vjp(
                lambda parameters: self.supernet(parameters, architecture, images),
                unravel(child.parameters),
            )
            probabilities = jax.nn.softmax(logits)
            wanted = jax.nn.one_hot(labels, logits.shape[-1])
            # The gradient of the mean cross-entropy. It is not computed while evaluating, so
            # that both share one forward pass in the program.
            gradient = lax.cond(
                training,
                lambda: ravel_pytree(vjp((probabilities - wanted) / local)[0])[0],
                lambda: jnp.zeros_like(child.parameters),
            )
            if shards > 1:
                gradient = lax.pmean(gradient, "data")
            child = lax.cond(training, update, lambda child, *_: child, child, gradient, number)
            child = child._replace(finite=child.finite & jnp.all(jnp.isfinite(logits)))
            right = jnp.sum((logits.argmax(-1) == labels) * weights)
            return child, correct + jnp.where(training, 0.0, right)

        evaluations = data.valid_images.shape[0] // self.batch_size
        total = control.steps + jnp.where(control.evaluate, evaluations, 0)
        child, correct = lax.fori_loop(0, total, step, (child, jnp.zeros(())))
        finite = child.finite
        if shards > 1:
            correct = lax.psum(correct, "data")
            finite = lax.pmin(finite.astype(jnp.int32), "data") > 0
        return child._replace(finite=finite), Result(correct, finite)


def make_child_program(
    config: ml_collections.ConfigDict, macro: Macro, *, platform: str
) -> ChildProgram:
    """The program of a search's configuration.

    Args:
      config: of the search.
      macro: the skeleton of its networks.
      platform: of the devices, as JAX calls it.
    """
    child = config.child
    dtype = jnp.bfloat16 if child.bfloat16 else None
    layers = LayerConfig(dtype=dtype, track_statistics=False, batch_last=platform == "tpu")
    return ChildProgram(
        supernet=Supernet(macro, config.num_blocks, layers),
        batch_size=child.batch_size,
        learning_rate=child.learning_rate,
        momentum=child.momentum,
        weight_decay=child.weight_decay,
        max_grad_norm=child.max_grad_norm,
        crop_padding=child.crop_padding,
        flip=child.flip,
    )
