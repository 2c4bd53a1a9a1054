"""The 13 operations of the search space, written once for the search and for what it finds.

Each is a module from `[batch, height, width, in_features]` to `[batch, ceil(height / stride),
ceil(width / stride), features]`. Convolutions come as ReLU, convolution, batch normalization, and
separable convolutions twice (paper, A.4). At the borders of the image a strided operation does what its
cell's `Borders` say, and all others do TensorFlow's SAME.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from flax import nnx

from nasnet_jax.nn.borders import SAME, Borders
from nasnet_jax.nn.layers import BatchNorm, LayerConfig, ReluConvNorm, conv

Operation = Callable[[jax.Array], jax.Array]


class Identity(nnx.Module):
    """The input itself; where the shape must change, ReLU, strided 1x1 and normalization (slim)."""

    def __init__(
        self,
        in_features: int,
        features: int,
        stride: int,
        *,
        borders: Borders,
        config: LayerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        # A window of one pixel never reaches over a border.
        self.adapt = (
            None
            if stride == 1 and in_features == features
            else ReluConvNorm(in_features, features, stride=stride, config=config, rngs=rngs)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the operation, with the shapes that the module states."""
        return x if self.adapt is None else self.adapt(x)


class Convolution(nnx.Module):
    """ReLU, `size` x `size` convolution, normalization."""

    def __init__(
        self,
        in_features: int,
        features: int,
        stride: int,
        *,
        size: int,
        dilation: int = 1,
        borders: Borders,
        config: LayerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        self.only = ReluConvNorm(
            in_features,
            features,
            (size, size),
            stride=stride,
            dilation=dilation,
            padding=borders.padding((size, size), dilation),
            config=config,
            rngs=rngs,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the operation, with the shapes that the module states."""
        return self.only(x)


class FactorizedConvolution(nnx.Module):
    """1 x `size`, then `size` x 1, which carries the stride."""

    def __init__(
        self,
        in_features: int,
        features: int,
        stride: int,
        *,
        size: int,
        borders: Borders,
        config: LayerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        self.row = ReluConvNorm(in_features, features, (1, size), config=config, rngs=rngs)
        self.column = ReluConvNorm(
            features,
            features,
            (size, 1),
            stride=stride,
            padding=borders.padding((size, 1)),
            config=config,
            rngs=rngs,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the operation, with the shapes that the module states."""
        return self.column(self.row(x))


class Pool(nnx.Module):
    """Pooling; a 1x1 convolution and normalization, without ReLU, only where widths differ."""

    def __init__(
        self,
        in_features: int,
        features: int,
        stride: int,
        *,
        pool: Callable[[Borders, jax.Array, int, int], jax.Array],
        size: int,
        borders: Borders,
        config: LayerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        self.adapt = (
            None
            if in_features == features
            else ReluConvNorm(in_features, features, relu=False, config=config, rngs=rngs)
        )
        self.pool, self.size, self.stride, self.borders = pool, size, stride, borders

    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the operation, with the shapes that the module states."""
        x = self.pool(self.borders, x, self.size, self.stride)
        return x if self.adapt is None else self.adapt(x)


class SeparableConvolution(nnx.Module):
    """ReLU, depthwise, pointwise, normalization; twice, the stride in the first.

    Nothing stands between depthwise and pointwise (paper, A.4), and the first pointwise
    convolution already gives `features` channels (slim).
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        stride: int,
        *,
        size: int,
        borders: Borders,
        config: LayerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        def depthwise(channels: int, stride: int) -> nnx.Conv:
            return conv(
                channels,
                channels,
                (size, size),
                stride=stride,
                depthwise=True,
                padding=borders.padding((size, size)) if stride > 1 else "SAME",
                config=config,
                rngs=rngs,
            )

        def pointwise(channels: int) -> nnx.Conv:
            return conv(channels, features, (1, 1), config=config, rngs=rngs)

        self.depthwise_1, self.pointwise_1 = depthwise(in_features, stride), pointwise(in_features)
        self.norm_1 = BatchNorm(features, config=config)
        self.depthwise_2, self.pointwise_2 = depthwise(features, 1), pointwise(features)
        self.norm_2 = BatchNorm(features, config=config)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the operation, with the shapes that the module states."""
        x = self.norm_1(self.pointwise_1(self.depthwise_1(nnx.relu(x))))
        return self.norm_2(self.pointwise_2(self.depthwise_2(nnx.relu(x))))


def operation(
    name: str,
    in_features: int,
    features: int,
    stride: int,
    *,
    borders: Borders = SAME,
    config: LayerConfig,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """Makes the operation of this name.

    Args:
      name: one of `nasnet_jax.space.OPERATIONS`.
      in_features: channels of the hidden state that it reads.
      features: F, the channels of every hidden state of the cell.
      stride: 2 where a reduction cell reads one of its inputs, else 1.
      borders: of the cell; at stride 1 all ports do the same, and this makes no difference.
      config: what all layers of the network have in common.
      rngs: for the initial parameters.

    Raises:
      KeyError: for a name that is not in the space; architectures are validated before.
    """
    kind, arguments = _KINDS[name]
    strided = borders if stride > 1 else SAME
    return kind(
        in_features, features, stride, borders=strided, config=config, rngs=rngs, **arguments
    )


_KINDS: dict[str, tuple[Callable[..., nnx.Module], dict]] = {
    "identity": (Identity, {}),
    "conv_1x3_3x1": (FactorizedConvolution, {"size": 3}),
    "conv_1x7_7x1": (FactorizedConvolution, {"size": 7}),
    "dilated_conv_3x3": (Convolution, {"size": 3, "dilation": 2}),
    "avg_pool_3x3": (Pool, {"pool": Borders.average_pool, "size": 3}),
    "max_pool_3x3": (Pool, {"pool": Borders.max_pool, "size": 3}),
    "max_pool_5x5": (Pool, {"pool": Borders.max_pool, "size": 5}),
    "max_pool_7x7": (Pool, {"pool": Borders.max_pool, "size": 7}),
    "conv_1x1": (Convolution, {"size": 1}),
    "conv_3x3": (Convolution, {"size": 3}),
    "sep_conv_3x3": (SeparableConvolution, {"size": 3}),
    "sep_conv_5x5": (SeparableConvolution, {"size": 5}),
    "sep_conv_7x7": (SeparableConvolution, {"size": 7}),
}
