"""Worker: trains each child as a static network, compiled for its own architecture by `jax.jit`."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from sizes import ChildSize, parsed, size_of
from worker import Run, serve

from nasnet_jax.data.augment import channel_statistics, random_crop_flip, standardize
from nasnet_jax.data.builtin import FakeSpec, make_fake
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import Architecture


class Trainer:
    """Trains children of a size; compiles two functions for each of them."""

    def __init__(self, size: ChildSize) -> None:
        self.size, self.config = size, size.config()
        data = make_fake(FakeSpec(**self.config.dataset.fake))
        self.images, self.labels = jnp.asarray(data.train_images), jnp.asarray(data.train_labels)
        self.mean, self.deviation = channel_statistics(data.train_images)
        child = self.config.child
        self.optimizer = optax.chain(
            optax.add_decayed_weights(
                child.weight_decay, lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 1, tree)
            ),
            optax.clip_by_global_norm(child.max_grad_norm),
            optax.sgd(optax.cosine_decay_schedule(child.learning_rate, size.steps), child.momentum),
        )

    def __call__(self, architecture: Architecture) -> float:
        """Trains a child; returns the last loss."""
        size = self.size
        layers = LayerConfig(track_statistics=False)
        # As quickly compiled as can be: random numbers that are one operation of XLA.
        key = jax.random.key(0, impl="rbg")

        def build() -> NASNet:
            return NASNet(architecture, size.macro, config=layers, rngs=nnx.Rngs(key))

        graph = nnx.graphdef(nnx.eval_shape(build))

        def initial() -> tuple[Any, Any]:
            parameters = nnx.to_pure_dict(nnx.state(build()))
            return parameters, self.optimizer.init(parameters)

        @functools.partial(jax.jit, donate_argnums=0)
        def step(state: Any, number: jax.Array, images: jax.Array, labels: jax.Array) -> Any:
            parameters, optimizer = state
            start = number * size.batch_size
            take = functools.partial(jax.lax.dynamic_slice_in_dim, start_index=start)
            images = standardize(
                take(images, slice_size=size.batch_size), self.mean, self.deviation
            )
            images = random_crop_flip(
                jax.random.fold_in(jax.random.key(1), number),
                images,
                padding=size.crop_padding,
                flip=size.flip,
            )
            targets = take(labels, slice_size=size.batch_size)

            def loss_of(parameters: Any) -> jax.Array:
                logits = nnx.merge(graph, parameters)(images)
                return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

            loss, gradient = jax.value_and_grad(loss_of)(parameters)
            updates, optimizer = self.optimizer.update(gradient, optimizer, parameters)
            return (optax.apply_updates(parameters, updates), optimizer), loss

        state = jax.jit(initial)()
        for number in range(size.steps):
            state, loss = step(state, number, self.images, self.labels)
        return float(loss)


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    device = jax.devices()[0 if "core" in settings else settings["worker"]]
    jax.config.update("jax_default_device", device)
    trainer = Trainer(size_of(settings))

    def run(message: dict[str, Any]) -> dict[str, Any]:
        return {"losses": [trainer(one) for one in parsed(message["architectures"])]}

    return run, {"device": str(device)}


if __name__ == "__main__":
    serve(prepare)
