"""Weights made up from names and shapes alone, the same on both sides of a comparison.

The published weights are large, so equal outputs are shown on these. Nothing is needed but NumPy, so
that this file runs where a peer is installed and we are not.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

SIZES = {"mobile": (224, 225), "large": (331, 353)}
"""The native image size, and one at which other sides are even. Cadene's networks, whose classifiers
want maps of the native size and whose cells want even sides in some places, take these too."""


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Makes a tensor of a network up.

    Args:
        name: As the peer calls it.
        shape: In the peer's layout.

    Returns:
        float32. Kernels are scaled so that signals keep their size from layer to layer; variances are
        positive; all else is about as large as in a trained network.
    """
    draw = _generator(name).standard_normal(shape)
    if len(shape) > 1:
        draw *= math.sqrt(2.0 / _fan_in(name, shape))
    elif name.endswith(("variance", "running_var")):
        draw = 0.5 + np.abs(draw)
    elif name.endswith(("gamma", "weight")):
        draw = 1.0 + 0.1 * draw
    else:
        draw *= 0.1
    return draw.astype(np.float32)


def images(size: int) -> np.ndarray:
    """One image in [-1, 1], `[1, size, size, 3]`, float32."""
    return _generator("images").uniform(-1, 1, (1, size, size, 3)).astype(np.float32)


def _generator(name: str) -> np.random.RandomState:
    """The generator whose numbers NumPy promises never to change."""
    return np.random.RandomState(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))


def _fan_in(name: str, shape: tuple[int, ...]) -> int:
    """Inputs of one output; PyTorch's kernels have their outputs in front, TensorFlow's at the end."""
    if name.endswith(("depthwise_kernel", "depthwise_weights")):
        return math.prod(shape[:2])
    return math.prod(shape[1:] if name.endswith("weight") else shape[:-1])
