"""The layers that cells are built from: convolution, batch normalization, factorized reduction."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Hashable
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from nasnet_jax.nn.borders import EDGES
from nasnet_jax.nn.convolution import Pads, convolution
from nasnet_jax.nn.normalization import normalize

TRUNCATION_CORRECTION = 1.3
"""slim multiplies the variance by this, for what truncating a normal at two deviations takes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerConfig:
    """What all layers of a network have in common.

    Attributes:
        dtype: Of activations; None computes in the parameters' type. Parameters are float32, and
            statistics and losses are at least that.
        track_statistics: Whether batch normalization keeps running statistics for inference. A child
            of the search does not: its reward is measured with the statistics of the batch.
        norm_decay: Of the running statistics. 0.9 in slim's CIFAR network, 0.9997 on ImageNet.
        norm_epsilon: Added to the variance. 1e-5 in slim's CIFAR network, 1e-3 on ImageNet.
        norm_group: Number of examples over which statistics are taken while training (None: all
            examples of the batch), so that a step is the same function on any number of devices.
        edges: How the strided operations of reduction cells treat the borders of a map; one of
            `nasnet_jax.nn.borders.EDGES`. `same` is TF-slim's and the paper's, the others are those
            of published ports, for networks that run with a port's weights.
        batch_last: Whether the search's program keeps images as `[height, width, F, batch]`, which is
            for TPUs; see `nasnet_jax.nn.batch_axis`. Static networks do not look at it.

    Raises:
        ValueError: For edges that are not known.
    """

    dtype: jnp.dtype | None = None
    track_statistics: bool = True
    norm_decay: float = 0.9
    norm_epsilon: float = 1e-5
    norm_group: int | None = None
    edges: str = "same"
    batch_last: bool = False

    def __post_init__(self) -> None:
        if self.edges not in EDGES:
            raise ValueError(f"edges is one of {', '.join(EDGES)}, but it is {self.edges!r}.")


class KeySequence:
    """Keys for initial parameters, one after the other: what layers use of `nnx.Rngs`.

    It counts in Python. `nnx.Rngs` counts in an array, and where that is traced, each step looks
    through all that was traced before: half a minute for a network of 500 convolutions.
    """

    def __init__(self, key: jax.Array) -> None:
        self._key = key
        self._used = 0

    def params(self) -> jax.Array:
        """The next key."""
        self._used += 1
        return jax.random.fold_in(self._key, self._used)


def kernel_std(shape: tuple[int, ...], *, depthwise: bool = False) -> float:
    """Standard deviation of slim's initialiser: variance scaling by 2 / fan-out, truncated normal.

    Args:
        shape: `[..., in, out]` of a kernel.
        depthwise: For `[height, width, 1, channels]`, where the fan-out is `height * width`, since
            slim stores this kernel as `[height, width, channels, 1]`.
    """
    fan_out = math.prod(shape[:-2]) * (1 if depthwise else shape[-1])
    return math.sqrt(2.0 * TRUNCATION_CORRECTION / fan_out)


def kernel_init(
    key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype, *, depthwise: bool = False
) -> jax.Array:
    """Draws a kernel; the same initialiser for every layer, as in slim's argument scope."""
    draw = jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype)
    return kernel_std(shape, depthwise=depthwise) * draw


def conv(
    in_features: int,
    features: int,
    kernel_size: tuple[int, int],
    *,
    stride: int = 1,
    dilation: int = 1,
    depthwise: bool = False,
    padding: str | Pads = "SAME",
    config: LayerConfig,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A bias-free convolution `[batch, h, w, in_features]` to `[batch, h/stride, w/stride, features]`."""
    return nnx.Conv(
        in_features,
        features,
        kernel_size,
        strides=stride,
        padding=padding,
        kernel_dilation=dilation,
        feature_group_count=in_features if depthwise else 1,
        use_bias=False,
        dtype=config.dtype,
        kernel_init=functools.partial(kernel_init, depthwise=depthwise),
        conv_general_dilated=convolution,
        rngs=rngs,
    )


class BatchNorm(nnx.Module):
    """Batch normalization with scale and offset over groups of examples.

    While training, or where no running statistics are kept, each group of `norm_group` examples is
    normalized by its own mean and (biased) variance. Running statistics are the average over groups.
    """

    def __init__(self, features: int, *, config: LayerConfig) -> None:
        self.scale = nnx.Param(jnp.ones(features))
        self.offset = nnx.Param(jnp.zeros(features))
        if config.track_statistics:
            self.mean = nnx.BatchStat(jnp.zeros(features))
            self.variance = nnx.BatchStat(jnp.ones(features))
        self.config = config
        self.use_running_average = False

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalizes `[batch, height, width, features]` over all axes but the last.

        Raises:
            ValueError: If the batch is not a multiple of the group.
        """
        config = self.config
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if self.use_running_average and config.track_statistics:
            inverse = jax.lax.rsqrt(self.variance[...] + config.norm_epsilon)
            scaled = (wide - self.mean[...]) * (inverse * self.scale[...]) + self.offset[...]
            return scaled.astype(x.dtype)
        group = config.norm_group or x.shape[0]
        if x.shape[0] % group:
            raise ValueError(
                f"A batch of {x.shape[0]} examples is not a multiple of the {group} examples that "
                "batch normalization takes its statistics over (batch_norm.group_size)."
            )
        grouped = wide.reshape(-1, group, *x.shape[1:])
        scale, offset = self.scale[...], self.offset[...]
        normalized, mean, variance = normalize(grouped, scale, offset, config.norm_epsilon)
        if config.track_statistics:
            decay = config.norm_decay
            for statistic, value in ((self.mean, mean), (self.variance, variance)):
                value = value.mean((0, 1, 2, 3))
                # Not `statistic[...] =`, which asks a traced value for its sharding; the error behind
                # the answer looks through all that was traced before.
                statistic.set_value(decay * statistic[...] + (1 - decay) * value)
        return normalized.reshape(x.shape).astype(x.dtype)


class Layer(Protocol):
    """What operations are rows of."""

    @property
    def kind(self) -> Hashable:
        """What the layer does: layers of one kind differ in their parameters only."""
        ...

    @property
    def stride(self) -> int:
        """Steps between output positions."""
        ...

    @property
    def norm(self) -> BatchNorm | None:
        """The normalization that ends it; None for pooling."""
        ...

    def before_norm(self, x: jax.Array) -> jax.Array:
        """What the normalization reads."""
        ...

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, in_features]` to `[batch, height/stride, width/stride, features]`."""
        ...


class ReluConvNorm(nnx.Module):
    """The paper's order (A.4): ReLU, convolution, batch normalization."""

    def __init__(
        self,
        in_features: int,
        features: int,
        kernel_size: tuple[int, int] = (1, 1),
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: str | Pads = "SAME",
        relu: bool = True,
        config: LayerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        self.conv = conv(
            in_features,
            features,
            kernel_size,
            stride=stride,
            dilation=dilation,
            padding=padding,
            config=config,
            rngs=rngs,
        )
        self.norm = BatchNorm(features, config=config)
        self.relu, self.stride = relu, stride

    @property
    def kind(self) -> Hashable:
        """Of a `Layer`."""
        return ReluConvNorm, self.relu, _kind(self.conv)

    def before_norm(self, x: jax.Array) -> jax.Array:
        """The convolution's output."""
        return self.conv(nnx.relu(x) if self.relu else x)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, in_features]` to `[batch, height/stride, width/stride, features]`."""
        return self.norm(self.before_norm(x))


class ReluSeparableNorm(nnx.Module):
    """ReLU, depthwise and pointwise convolution with nothing between them (paper, A.4), normalization."""

    def __init__(
        self,
        in_features: int,
        features: int,
        size: int,
        *,
        stride: int = 1,
        padding: str | Pads = "SAME",
        config: LayerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        self.depthwise = conv(
            in_features,
            in_features,
            (size, size),
            stride=stride,
            depthwise=True,
            padding=padding,
            config=config,
            rngs=rngs,
        )
        self.pointwise = conv(in_features, features, (1, 1), config=config, rngs=rngs)
        self.norm = BatchNorm(features, config=config)
        self.stride = stride

    @property
    def kind(self) -> Hashable:
        """Of a `Layer`."""
        return ReluSeparableNorm, _kind(self.depthwise), _kind(self.pointwise)

    def before_norm(self, x: jax.Array) -> jax.Array:
        """The pointwise convolution's output."""
        return self.pointwise(self.depthwise(nnx.relu(x)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, in_features]` to `[batch, height/stride, width/stride, features]`."""
        return self.norm(self.before_norm(x))


def _kind(layer: nnx.Conv) -> Hashable:
    return layer.kernel_shape, layer.strides, layer.kernel_dilation, layer.padding


def _every_other(x: jax.Array, start: int) -> jax.Array:
    """Every other row and column, from one on.

    As a slice, of which indexing makes a gather where the batch has no number; converters know none.
    """
    return jax.lax.slice(x, (0, start, start, 0), x.shape, (1, 2, 2, 1))


class FactorizedReduction(nnx.Module):
    """Halves the size without losing the odd pixels: two subsamplings, one shifted by a pixel.

    An odd number of features is split into its ceil and its floor half (slim's are always even).
    """

    def __init__(
        self, in_features: int, features: int, *, config: LayerConfig, rngs: nnx.Rngs
    ) -> None:
        self.path_1 = conv(in_features, -(-features // 2), (1, 1), config=config, rngs=rngs)
        self.path_2 = conv(in_features, features // 2, (1, 1), config=config, rngs=rngs)
        self.norm = BatchNorm(features, config=config)

    def before_norm(self, x: jax.Array) -> jax.Array:
        """What the normalization reads: both subsamplings, projected, side by side."""
        x = nnx.relu(x)
        # Padded behind and cropped in front, so that both paths have ceil(size / 2) positions.
        shifted = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        halves = self.path_1(_every_other(x, 0)), self.path_2(_every_other(shifted, 1))
        return jnp.concatenate(halves, -1)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, in_features]` to `[batch, ceil(h/2), ceil(w/2), features]`."""
        return self.norm(self.before_norm(x))


class Projection(nnx.Module):
    """A block that concatenates: both halves, ReLU, 1x1 convolution back to F, normalization.

    The paper leaves open what brings a concatenation back to F channels; this is our choice.
    """

    def __init__(self, features: int, *, config: LayerConfig, rngs: nnx.Rngs) -> None:
        self.project = ReluConvNorm(2 * features, features, config=config, rngs=rngs)

    def __call__(self, left: jax.Array, right: jax.Array) -> jax.Array:
        """Two `[batch, height, width, features]` to one."""
        return self.project(jnp.concatenate((left, right), -1))
