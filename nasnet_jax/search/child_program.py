"""The one compiled program of a search: an epoch of training, or of evaluation, of any children.

Everything that changes during a search is an argument: architectures, the number of steps, the horizon
of the learning rate, whether the children are new and whether they are evaluated. So there is one
compilation, and every device runs it on children of its own.
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
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from nasnet_jax.data.augment import random_crop_flip, standardize
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.space import Macro
from nasnet_jax.supernet import Params, Room, Supernet, Tapes, clip_by_child_norm

CHILDREN_A_CALL, MOST_CALLS = 4, 16
"""Of a chunk, unless it is said: so many children for each of its calls, or chunks are seldom full."""


class Data(NamedTuple):
    """A search's data set, on every device.

    Attributes:
        train_images: uint8 `[number, height, width, channels]`.
        train_labels: int32 `[number]`.
        valid_images: uint8, as many as fill whole batches: the held-out images, then repetitions.
        valid_labels: int32.
        valid_mask: float32, 1 for each held-out image once, 0 for repetitions.
        mean: float32 `[channels]`, of the training images, on the scale 0 to 255.
        std: float32 `[channels]`.
    """

    train_images: Any
    train_labels: Any
    valid_images: Any
    valid_labels: Any
    valid_mask: Any
    mean: Any
    std: Any


class Children(NamedTuple):
    """What training changes of the children of a device.

    Attributes:
        params: Of the supernet.
        opt_state: Optax's state, the momentum.
        finite: bool `[children]`, whether every logit so far was finite.
    """

    params: Any
    opt_state: Any
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
    """Of one call, `[children]`: `correct` held-out images, and whether the child is still `finite`."""

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
        """Momentum SGD; clipping by child and the learning rate stand around it."""
        return optax.trace(decay=self.momentum)

    def init(self, key: jax.Array, tapes: Tapes) -> Children:
        """New children."""
        params = self.supernet.init(key, tapes)
        finite = jnp.ones(self.supernet.room.children, bool)
        return Children(params, self.optimizer.init(params), finite)

    @property
    def shapes(self) -> Children:
        """Shapes and types of a device's children."""
        params = self.supernet.shapes
        opt_state = jax.eval_shape(self.optimizer.init, params)
        finite = jax.ShapeDtypeStruct((self.supernet.room.children,), jnp.bool_)
        return Children(params, opt_state, finite)

    def sharded(self, mesh: Mesh) -> Any:
        """The program over a mesh: `(children, tapes, control, key, data)`.

        `children` and `tapes` have a leading axis of the mesh's `arch` size. The key is the same for
        all children (common random numbers), so that neither the place in a launch nor the device
        changes a child.

        Returns:
            A jitted function to the children after the call, whose buffers it reuses, and a `Result`
            of `[arch, children]` arrays.
        """
        shards = mesh.shape["data"]

        def device(children: Children, tapes: Any, *rest: Any) -> tuple[Children, Result]:
            children, tapes = jax.tree.map(lambda x: x[0], (children, tapes))
            out = self.call(children, tapes, *rest, shards=shards)
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
        children: Children,
        tapes: Tapes,
        control: Control,
        key_data: jax.Array,
        data: Data,
        *,
        shards: int,
    ) -> tuple[Children, Result]:
        """What one device does in a call: steps of its children, inside a `shard_map`.

        Args:
            children: Before the call.
            tapes: Of the children.
            control: What is to be done.
            key_data: Of the search's child key.
            data: All of the data set.
            shards: How many devices of the axis `data` share each batch.

        Returns:
            The children after the call, and the call's result.
        """
        init_key, order_key, augment_key = jax.random.split(jax.random.wrap_key_data(key_data), 3)
        children = lax.cond(control.first, lambda: self.init(init_key, tapes), lambda: children)
        owners = self.supernet.owners(tapes)
        steps_per_epoch = data.train_images.shape[0] // self.batch_size
        epoch_key = jax.random.fold_in(order_key, control.start // steps_per_epoch)
        order = jax.random.permutation(epoch_key, data.train_images.shape[0])
        local = self.batch_size // shards
        offset = lax.axis_index("data") * local

        def train_batch(number: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            step = control.start + number
            place = step % steps_per_epoch * self.batch_size + offset
            chosen = lax.dynamic_slice_in_dim(order, place, local)
            images = standardize(data.train_images[chosen], data.mean, data.std)
            key = jax.random.fold_in(jax.random.fold_in(augment_key, step), lax.axis_index("data"))
            images = random_crop_flip(key, images, padding=self.crop_padding, flip=self.flip)
            return images, data.train_labels[chosen], jnp.ones(local)

        def valid_batch(number: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            place = (number - control.steps) * self.batch_size + offset
            images, labels, mask = (
                lax.dynamic_slice_in_dim(x, place, local)
                for x in (data.valid_images, data.valid_labels, data.valid_mask)
            )
            return standardize(images, data.mean, data.std), labels, mask

        def update(children: Children, grads: Params, number: jax.Array) -> Children:
            params = children.params
            kernels = self.supernet.kernels(params)
            grads = jax.tree.map(lambda g, k: g + self.weight_decay * k, grads, kernels)
            grads = clip_by_child_norm(grads, owners, self.max_grad_norm)
            updates, opt_state = self.optimizer.update(grads, children.opt_state)
            done = (control.start + number) / control.horizon
            rate = self.learning_rate * 0.5 * (1.0 + jnp.cos(math.pi * done))
            params = jax.tree.map(lambda x, u: x - rate * u, params, updates)
            return children._replace(params=params, opt_state=opt_state)

        def step(
            number: jax.Array, carry: tuple[Children, jax.Array, Any]
        ) -> tuple[Children, jax.Array, Any]:
            children, correct, rows = carry
            training = number < control.steps
            # All children of a device see the same images.
            images, labels, weights = lax.cond(training, train_batch, valid_batch, number)
            logits, vjp, rows = jax.vjp(
                lambda params: self.supernet(params, tapes, images, rows),
                children.params,
                has_aux=True,
            )
            probabilities = jax.nn.softmax(logits)
            wanted = jax.nn.one_hot(labels, logits.shape[-1])
            # The gradient of the mean cross-entropy. It is not computed while evaluating, so
            # that both share one forward pass in the program.
            grads = lax.cond(
                training,
                lambda: vjp((probabilities - wanted) / local)[0],
                lambda: jax.tree.map(jnp.zeros_like, children.params),
            )
            if shards > 1:
                grads = lax.pmean(grads, "data")
            children = lax.cond(
                training, update, lambda children, *_: children, children, grads, number
            )
            finite = children.finite & jnp.isfinite(logits).all((1, 2))
            right = ((logits.argmax(-1) == labels) * weights).sum(1)
            correct += jnp.where(training, 0.0, right)
            return children._replace(finite=finite), correct, rows

        evaluations = data.valid_images.shape[0] // self.batch_size
        total = control.steps + jnp.where(control.evaluate, evaluations, 0)
        correct = jnp.zeros(self.supernet.room.children)
        start = (children, correct, self.supernet.rows(local))
        children, correct, _ = lax.fori_loop(0, total, step, start)
        finite = children.finite
        if shards > 1:
            correct = lax.psum(correct, "data")
            finite = lax.pmin(finite.astype(jnp.int32), "data") > 0
        return children._replace(finite=finite), Result(correct, finite)


def make_child_program(
    config: ml_collections.ConfigDict, macro: Macro, *, platform: str
) -> ChildProgram:
    """The program of a search's configuration.

    Args:
        config: Of the search.
        macro: The skeleton of its networks.
        platform: Of the devices, as JAX calls it.
    """
    child = config.child
    dtype = jnp.bfloat16 if child.bfloat16 else None
    layers = LayerConfig(dtype=dtype, track_statistics=False, batch_last=platform == "tpu")
    together = config.mesh.children_per_device
    room = Room(together, config.mesh.chunk or min(MOST_CALLS, max(together // CHILDREN_A_CALL, 1)))
    return ChildProgram(
        supernet=Supernet(macro, config.num_blocks, layers, room),
        batch_size=child.batch_size,
        learning_rate=child.learning_rate,
        momentum=child.momentum,
        weight_decay=child.weight_decay,
        max_grad_norm=child.max_grad_norm,
        crop_padding=child.crop_padding,
        flip=child.flip,
    )
