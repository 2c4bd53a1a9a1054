"""What is to be known about a place that publishes weights."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterable

import numpy as np

from nasnet_jax.inference.preprocessing import Preprocessing
from nasnet_jax.inference.published.networks import Layer, LayerKind

Tensors = dict[str, np.ndarray]
"""The tensors of a file, by the names that it gives them."""

SYMMETRIC = (127.5, 127.5, 127.5)
"""Mean and deviation that bring pixels from 0 to 255 to [-1, 1], as all sources do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """How a source writes NASNet-A down.

    Attributes:
        title: Its name for people.
        read: Reads a file. Raises `FileNotFoundError`, and `ValueError` for a file that is damaged
            or of another format.
        names: From a layer to the source's name of each of its arrays, as it writes them today.
        separator: Between the words of a name.
        spellings: From words of a name in a file to what they may stand for, as written today: what
            the source has renamed since, and what others make of its names.
        axes: For each kind of layer, which axis of the source's kernel becomes each axis of ours:
            `[height, width, in, out]`, depthwise `[height, width, 1, channels]`, linear `[in, out]`.
        edges: The networks that the source has, and how each treats borders (`LayerConfig.edges`).
        preprocessing: From a network to how the source measures its accuracy.
    """

    title: str
    read: Callable[[pathlib.Path], Tensors]
    names: Callable[[Layer], dict[str, str]]
    separator: str
    spellings: Callable[[str], Iterable[str]]
    axes: dict[LayerKind, tuple[int, ...]]
    edges: dict[str, str]
    preprocessing: dict[str, Preprocessing]

    def to_ours(self, kind: LayerKind, tensor: np.ndarray) -> np.ndarray:
        """Brings a tensor of a layer to our order of axes; float32, as all parameters are."""
        if tensor.ndim > 1:
            tensor = tensor.transpose(self.axes[kind])
        return np.ascontiguousarray(tensor, np.float32)

    def shape(self, kind: LayerKind, ours: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in the source of an array with the shape `ours` here."""
        if len(ours) == 1:
            return ours
        theirs = [0] * len(ours)
        for axis, side in zip(self.axes[kind], ours, strict=True):
            theirs[axis] = side
        return tuple(theirs)


def cropped(image_size: int, scaled_size: int) -> Preprocessing:
    """Scales the shorter side to `scaled_size` and cuts the centre out, as torchvision does it.

    The order here is the other one (cut, then scale), which reads the same part of the image.
    """
    return Preprocessing(
        image_size=(image_size, image_size),
        mean=SYMMETRIC,
        std=SYMMETRIC,
        central_fraction=image_size / scaled_size,
    )
