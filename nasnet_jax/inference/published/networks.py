"""The two networks that weights are published for, and their layers one by one."""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

from flax import nnx
from flax.traverse_util import flatten_dict

from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import NASNET_A, Macro, MacroCell

Path = tuple[str | int, ...]
"""Where an array is in the network, such as `("cells", 0, "input_0", "conv", "kernel")`."""

NORM_EPSILON = 1e-3
"""Of every batch normalization in every source (slim's `nasnet.py`, which the others follow)."""

NETWORKS = {
    "mobile": Macro(
        num_cells=4,
        num_filters=44,
        num_classes=None,
        image_size=224,
        stem="imagenet",
        stem_multiplier=1.0,
    ),
    "large": Macro(
        num_cells=6,
        num_filters=168,
        num_classes=None,
        image_size=331,
        stem="imagenet",
        stem_multiplier=3.0,
        skip_reduction_layer_input=True,
    ),
}
"""NASNet-A 4 @ 1056 and 6 @ 4032 without their heads (slim's configurations)."""

LayerKind = Literal["conv", "depthwise", "linear", "norm"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer with parameters.

    Attributes:
        kind: What it is; a `depthwise` kernel is `[height, width, 1, channels]` here.
        cell: The cell that it belongs to, or `None` in the stem and the head.
        part: Where it is in that cell, or in the network: `("input_0", "conv")`,
            `("input_1", "path_1")`, `("blocks", 0, "left", "first", "depthwise")`, `("stem", "norm")`.
        macro: The skeleton of the network.
        operation: The operation of the block that it is a part of, or `""`.
        path: Of the layer in the network.
        shapes: Of its arrays, by name.
    """

    kind: LayerKind
    cell: MacroCell | None
    part: Path
    macro: Macro
    operation: str
    path: Path
    shapes: dict[str, tuple[int, ...]]

    @property
    def turn(self) -> int:
        """Of a block's separable convolution: 1 in its first layer, 2 in its second."""
        return {"first": 1, "second": 2}[str(self.part[3])]

    @property
    def halves_previous(self) -> bool:
        """Whether its cell brings the previous input to half the size."""
        return self.cell is not None and self.cell.previous_size != self.cell.input_size


def layers(macro: Macro) -> list[Layer]:
    """Lists the layers with parameters of a NASNet-A, the head last."""
    body = list(_body(dataclasses.replace(macro, num_classes=None)))
    return body if macro.num_classes is None else [*body, head_layer(macro, macro.num_classes)]


def head_layer(macro: Macro, classes: int) -> Layer:
    """The classifier of a NASNet-A."""
    features = macro.widths(NASNET_A)[-1].output
    return layer_at(("head", "linear"), {"kernel": (features, classes), "bias": (classes,)}, macro)


@functools.cache
def _body(macro: Macro) -> tuple[Layer, ...]:
    """The layers of a network without a head, which take a second to make."""
    config = LayerConfig(norm_epsilon=NORM_EPSILON)
    network = nnx.eval_shape(lambda: NASNet(NASNET_A, macro, config=config, rngs=nnx.Rngs(0)))
    arrays: dict[Path, dict[str, tuple[int, ...]]] = {}
    for kind in (nnx.Param, nnx.BatchStat):
        for path, leaf in flatten_dict(nnx.to_pure_dict(nnx.state(network, kind))).items():
            arrays.setdefault(path[:-1], {})[path[-1]] = leaf.shape
    return tuple(layer_at(path, shapes, macro) for path, shapes in arrays.items())


def layer_at(path: Path, shapes: dict[str, tuple[int, ...]], macro: Macro) -> Layer:
    """Describes the layer at a place of the network."""
    cell, part = None, path
    if path[0] == "cells":
        cell, part = macro.cells[int(path[1])], path[2:]
    operation = ""
    if cell is not None and part[0] == "blocks":
        block = getattr(NASNET_A, cell.kind).blocks[int(part[1])]
        operation = getattr(block, f"{part[2]}_op")
    return Layer(
        kind=_kind(str(path[-1])),
        cell=cell,
        part=part,
        macro=macro,
        operation=operation,
        path=path,
        shapes=shapes,
    )


def _kind(name: str) -> LayerKind:
    if name.startswith("norm"):
        return "norm"
    if name.startswith("depthwise"):
        return "depthwise"
    return "linear" if name == "linear" else "conv"
