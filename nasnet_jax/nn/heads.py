"""What makes logits of feature maps: the classifier, and the auxiliary one that training adds."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from nasnet_jax.nn.layers import LayerConfig, ReluConvNorm, kernel_init
from nasnet_jax.space import Size, aux_head_map_size
from nasnet_jax.space.cost import AUX_HEAD_FILTERS
from nasnet_jax.space.macro import AUX_POOL_STRIDE, AUX_POOL_WINDOW


class Head(nnx.Module):
    """The classifier: a linear layer on the pooled features, in float32 whatever comes in."""

    def __init__(self, in_features: int, classes: int, *, rngs: nnx.Rngs) -> None:
        self.linear = nnx.Linear(in_features, classes, kernel_init=kernel_init, rngs=rngs)

    def __call__(self, pooled: jax.Array) -> jax.Array:
        """`[batch, in_features]` to logits `[batch, classes]`."""
        return self.linear(pooled.astype(jnp.promote_types(pooled.dtype, jnp.float32)))


class AuxiliaryHead(nnx.Module):
    """A second classifier two thirds up the network, whose loss helps training (paper, A.7).

    ReLU, 5x5 VALID average pooling with stride 3, 1x1 convolution to 128 channels, a convolution of
    the whole map to 768, both with normalization and ReLU, and a linear layer (slim).
    """

    def __init__(
        self, in_features: int, size: Size, classes: int, *, config: LayerConfig, rngs: nnx.Rngs
    ) -> None:
        narrow, wide = AUX_HEAD_FILTERS
        self.project = ReluConvNorm(in_features, narrow, relu=False, config=config, rngs=rngs)
        self.whole_map = ReluConvNorm(
            narrow, wide, aux_head_map_size(size), padding="VALID", config=config, rngs=rngs
        )
        self.head = Head(wide, classes, rngs=rngs)
        self.size = size

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, in_features]` to logits `[batch, classes]`.

        Raises:
            ValueError: If height and width are not those that the head was made for.
        """
        if x.shape[1:3] != self.size:
            raise ValueError(
                f"The auxiliary head was made for maps of {self.size[0]}x{self.size[1]}, but got "
                f"{x.shape[1]}x{x.shape[2]}: train with images of the network's image_size."
            )
        window, strides = (AUX_POOL_WINDOW,) * 2, (AUX_POOL_STRIDE,) * 2
        pooled = nnx.avg_pool(nnx.relu(x), window, strides, padding="VALID")
        wide = nnx.relu(self.whole_map(self.project(pooled)))
        return self.head(wide[:, 0, 0])
