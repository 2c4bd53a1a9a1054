"""The operations of the search space, written once for the search and for what it finds.

There is a module for each form in `nasnet_jax.space.operations`. Each is
a module from `[batch, height, width, in_features]` to `[batch, ceil(height / stride),
ceil(width / stride), features]`, and a row of layers: static networks call the operation, the search's
program runs its layers. Convolutions come as ReLU, convolution, batch normalization, and
separable convolutions twice (paper, A.4). At the borders of the image a strided operation does what its
cell's `Borders` say, and all others do TensorFlow's SAME.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Literal

import jax
from flax import nnx

from nasnet_jax.nn.borders import SAME, Borders
from nasnet_jax.nn.layers import Layer, LayerConfig, ReluConvNorm, ReluSeparableNorm
from nasnet_jax.space import operations as forms


class Operation(nnx.Module):
    """One layer after the other."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, the first one first; empty where the input is the output."""
        raise NotImplementedError  # Each operation names its own.

    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the operation, with the shapes that this file states."""
        for layer in self.layers:
            x = layer(x)
        return x


class Identity(Operation):
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

    @property
    def layers(self) -> tuple[Layer, ...]:
        """None, or what changes the shape."""
        return () if self.adapt is None else (self.adapt,)


class Convolution(Operation):
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

    @property
    def layers(self) -> tuple[Layer, ...]:
        """One."""
        return (self.only,)


class FactorizedConvolution(Operation):
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

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Two."""
        return self.row, self.column


class Pooling(nnx.Module):
    """The largest or the mean of windows, as a `Layer`."""

    def __init__(
        self, kind: Literal["max", "average"], size: int, stride: int, borders: Borders
    ) -> None:
        self.pool, self.size, self.stride, self.borders = kind, size, stride, borders
        self.norm = None

    @property
    def kind(self) -> Hashable:
        """Of a `Layer`."""
        return Pooling, self.pool, self.size, self.stride, self.borders

    def before_norm(self, x: jax.Array) -> jax.Array:
        """The pooled input."""
        pool = Borders.max_pool if self.pool == "max" else Borders.average_pool
        return pool(self.borders, x, self.size, self.stride)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, features]` to `[batch, height/stride, width/stride, features]`."""
        return self.before_norm(x)


class Pool(Operation):
    """Pooling; a 1x1 convolution and normalization, without ReLU, only where widths differ."""

    def __init__(
        self,
        in_features: int,
        features: int,
        stride: int,
        *,
        kind: Literal["max", "average"],
        size: int,
        borders: Borders,
        config: LayerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        self.pooling = Pooling(kind, size, stride, borders)
        self.adapt = (
            None
            if in_features == features
            else ReluConvNorm(in_features, features, relu=False, config=config, rngs=rngs)
        )

    @property
    def layers(self) -> tuple[Layer, ...]:
        """One, or two."""
        return (self.pooling,) if self.adapt is None else (self.pooling, self.adapt)


class SeparableConvolution(Operation):
    """ReLU, depthwise, pointwise, normalization; twice, the stride in the first.

    The first pointwise convolution already gives `features` channels (slim).
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
        self.first = ReluSeparableNorm(
            in_features,
            features,
            size,
            stride=stride,
            padding=borders.padding((size, size)) if stride > 1 else "SAME",
            config=config,
            rngs=rngs,
        )
        self.second = ReluSeparableNorm(features, features, size, config=config, rngs=rngs)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Two."""
        return self.first, self.second


def operation(
    name: str,
    in_features: int,
    features: int,
    stride: int,
    *,
    borders: Borders = SAME,
    config: LayerConfig,
    rngs: nnx.Rngs,
) -> Operation:
    """Makes the operation of this name.

    Args:
        name: One of `nasnet_jax.space.OPERATIONS`.
        in_features: Channels of the hidden state that it reads.
        features: F, the channels of every hidden state of the cell.
        stride: 2 where a reduction cell reads one of its inputs, else 1.
        borders: Of the cell; at stride 1 all ports do the same, and this makes no difference.
        config: What all layers of the network have in common.
        rngs: For the initial parameters.

    Raises:
        KeyError: For a name that is not in the space; architectures are validated before.
    """
    form = forms.FORMS[name]
    strided = borders if stride > 1 else SAME
    return _MODULES[type(form)](
        in_features,
        features,
        stride,
        borders=strided,
        config=config,
        rngs=rngs,
        **form._asdict(),
    )


_MODULES: dict[type, Callable[..., Operation]] = {
    forms.Identity: Identity,
    forms.Convolution: Convolution,
    forms.FactorizedConvolution: FactorizedConvolution,
    forms.SeparableConvolution: SeparableConvolution,
    forms.Pool: Pool,
}
