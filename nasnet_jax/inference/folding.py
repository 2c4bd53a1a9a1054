"""Batch normalization folded into the convolutions before it, for serving.

With its running statistics, normalization is a multiplication and an addition for each channel.
Every normalization of a NASNet follows a convolution directly (ReLU, convolution, normalization),
so the multiplication goes into the kernel; padding is of the convolution's input and is unaffected.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nasnet_jax.nn.layers import BatchNorm, FactorizedReduction, ReluConvNorm, ReluSeparableNorm
from nasnet_jax.nn.nasnet import NASNet

_PAIRS: dict[type, dict[str, tuple[str, ...]]] = {
    ReluConvNorm: {"norm": ("conv",)},
    FactorizedReduction: {"norm": ("path_1", "path_2")},
    ReluSeparableNorm: {"norm": ("pointwise",)},
}
"""By kind of layer: each normalization, and the convolutions whose concatenated outputs it reads."""


class Offset(nnx.Module):
    """What is left of a folded normalization: a number added to each channel."""

    def __init__(self, offset: np.ndarray) -> None:
        self.offset = nnx.Param(jnp.asarray(offset))

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., channels]` to the same shape."""
        return x + self.offset[...].astype(x.dtype)


def fold_batch_norm(network: NASNet) -> NASNet:
    """Returns a copy of a trained network that has no batch normalization and the same outputs.

    The copy is for inference alone: nothing of the statistics is left to train with.

    Raises:
        TypeError: If a normalization stands in a kind of layer that this function does not know.
    """
    folded = nnx.clone(network)
    for _, module in list(nnx.iter_modules(folded)):
        for norm, convolutions in _PAIRS.get(type(module), {}).items():
            kernels = [getattr(module, name) for name in convolutions]
            setattr(module, norm, _fold(getattr(module, norm), kernels))
    for path, module in nnx.iter_modules(folded):
        if isinstance(module, BatchNorm):
            raise TypeError(f"There is no rule to fold the normalization {path}.")
    return folded


def _fold(norm: BatchNorm, convolutions: list[nnx.Conv]) -> Offset:
    """Scales the kernels whose concatenated outputs `norm` reads; returns what is left of it."""
    scale, offset, mean, variance = (
        np.asarray(variable[...], np.float64)
        for variable in (norm.scale, norm.offset, norm.mean, norm.variance)
    )
    factor = scale / np.sqrt(variance + norm.config.norm_epsilon)
    ends = np.cumsum([convolution.out_features for convolution in convolutions])[:-1]
    for convolution, part in zip(convolutions, np.split(factor, ends), strict=True):
        kernel = convolution.kernel[...]
        convolution.kernel[...] = jnp.asarray(np.asarray(kernel) * part, kernel.dtype)
    return Offset((offset - mean * factor).astype(np.float32))
