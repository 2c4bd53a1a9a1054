"""The operations of the search space, written once for the search and for what it finds.

There is a module for each form in `nasnet_jax.space.operations`. Each is
a module from `[batch, height, width, in_features]` to `[batch, ceil(height / stride),
ceil(width / stride), features]`. Convolutions come as ReLU, convolution, batch normalization, and
separable convolutions twice (paper, A.4). At the borders of the image a strided operation does what its
cell's `Borders` say, and all others do TensorFlow's SAME.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from nasnet_jax.nn.borders import SAME, Borders
from nasnet_jax.nn.layers import BatchNorm, LayerConfig, ReluConvNorm, conv
from nasnet_jax.space import operations as forms

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
        kind: Literal["max", "average"],
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
        self.pool = Borders.max_pool if kind == "max" else Borders.average_pool
        self.size, self.stride, self.borders = size, stride, borders

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
        self.rolled = config.rolled and stride == 1 and in_features == features

    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the operation, with the shapes that the module states."""
        first = (self.depthwise_1, self.pointwise_1, self.norm_1)
        second = (self.depthwise_2, self.pointwise_2, self.norm_2)
        if not self.rolled:
            return _separable(second, _separable(first, x))
        graphdef, *states = (*nnx.split(first), nnx.state(second))
        return lax.platform_dependent(
            x,
            states,
            tpu=functools.partial(_in_a_loop, graphdef),
            default=functools.partial(_one_by_one, graphdef),
        )


def _separable(layers: tuple[nnx.Conv, nnx.Conv, BatchNorm], x: jax.Array) -> jax.Array:
    depthwise, pointwise, norm = layers
    return norm(pointwise(depthwise(nnx.relu(x))))


def _one_by_one(graphdef: nnx.GraphDef, x: jax.Array, states: list[nnx.State]) -> jax.Array:
    for state in states:
        x = _separable(nnx.merge(graphdef, state), x)
    return x


def _in_a_loop(graphdef: nnx.GraphDef, x: jax.Array, states: list[nnx.State]) -> jax.Array:
    def step(x: jax.Array, state: nnx.State) -> tuple[jax.Array, None]:
        return _separable(nnx.merge(graphdef, state), x), None

    return lax.scan(step, x, jax.tree.map(lambda *parts: jnp.stack(parts), *states))[0]


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


_MODULES: dict[type, Callable[..., nnx.Module]] = {
    forms.Identity: Identity,
    forms.Convolution: Convolution,
    forms.FactorizedConvolution: FactorizedConvolution,
    forms.SeparableConvolution: SeparableConvolution,
    forms.Pool: Pool,
}
