"""NASNet: a stack of cells with a fixed architecture, "N @ P" in the paper's words."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from nasnet_jax.nn.cell import CellModule
from nasnet_jax.nn.layers import LayerConfig, ReluConvNorm, kernel_init
from nasnet_jax.space import STEM, Architecture, Macro


class NASNet(nnx.Module):
    """An image classifier whose cells are `architecture` and whose skeleton is `macro`."""

    def __init__(
        self, architecture: Architecture, macro: Macro, *, config: LayerConfig, rngs: nnx.Rngs
    ) -> None:
        imagenet = macro.stem == "imagenet"
        self.stem = ReluConvNorm(
            macro.image_channels,
            macro.stem_filters,
            (3, 3),
            stride=2 if imagenet else 1,
            padding="VALID" if imagenet else "SAME",
            relu=False,
            config=config,
            rngs=rngs,
        )
        widths = macro.widths(architecture)
        cells = {"normal": architecture.normal, "reduction": architecture.reduction}
        self.cells = nnx.List(
            CellModule(cells[place.kind], place, around, config=config, rngs=rngs)
            for place, around in zip(macro.cells, widths, strict=True)
        )
        self.head = (
            None
            if macro.num_classes is None
            else Head(widths[-1].output, macro.num_classes, rngs=rngs)
        )
        self.macro = macro
        self.architecture = architecture

    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits `[batch, classes]`, or features `[batch, channels]` without a head.

        Args:
          images: `[batch, height, width, channels]`, scaled as the network was trained.
        """
        features = self.feature_maps(images)[-1]
        pooled = nnx.relu(features).mean((1, 2))
        return pooled if self.head is None else self.head(pooled)

    def feature_maps(self, images: jax.Array) -> list[jax.Array]:
        """The outputs of all cells, in order: `[batch, height, width, channels]` each."""
        stem = self.stem(images)
        outputs: list[jax.Array] = []
        for place, cell in zip(self.macro.cells, self.cells, strict=True):
            current = stem if place.current == STEM else outputs[place.current]
            previous = (
                current
                if place.previous is None
                else stem
                if place.previous == STEM
                else outputs[place.previous]
            )
            outputs.append(cell(current, previous))
        return outputs


class Head(nnx.Module):
    """The classifier: a linear layer on the pooled features, in float32 whatever comes in."""

    def __init__(self, in_features: int, classes: int, *, rngs: nnx.Rngs) -> None:
        self.linear = nnx.Linear(in_features, classes, kernel_init=kernel_init, rngs=rngs)

    def __call__(self, pooled: jax.Array) -> jax.Array:
        """`[batch, in_features]` to logits `[batch, classes]`."""
        return self.linear(pooled.astype(jnp.promote_types(pooled.dtype, jnp.float32)))
