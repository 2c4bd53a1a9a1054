"""How much a child makes a device do, in three numbers that follow from its architecture.

Unlike `nasnet_jax.space.cost`, which counts the network that would be deployed, this counts what
the search's program computes: a cell's output has a place for every hidden state, used or not, and
pooling and the numbers that are written cost time too.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from nasnet_jax.space import STEM, Architecture, Cell, Macro, MacroCell
from nasnet_jax.space.operations import (
    FORMS,
    Convolution,
    FactorizedConvolution,
    Form,
    Identity,
    Pool,
    SeparableConvolution,
)


@dataclasses.dataclass(frozen=True)
class Work:
    """Of the forward pass of one image.

    Attributes:
        dense: Multiply-adds of convolutions that mix channels; matrix units do them.
        window: Operations of depthwise convolutions and pooling, which matrix units cannot do.
        elements: Numbers written, each of which is read again.
    """

    dense: float = 0.0
    window: float = 0.0
    elements: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.dense + other.dense, self.window + other.window, self.elements + other.elements
        )

    def as_array(self) -> np.ndarray:
        """The three numbers, `[3]` float64."""
        return np.array([self.dense, self.window, self.elements])


def child_work(architecture: Architecture, macro: Macro) -> Work:
    """The work of a child of a search with this skeleton."""
    positions = math.prod(macro.stem_size)
    total = _convolution(9, macro.image_channels, macro.stem_filters, positions)
    for place in macro.cells:
        full, out = math.prod(place.input_size), math.prod(place.output_size)
        for source in (place.current, place.previous):
            width = _width(architecture, macro, place, source)
            total += _convolution(1, width, place.filters, full)
        cell = _cell(architecture, place)
        total += _cell_work(cell, place) + Work(elements=len(cell.outputs) * place.filters * out)
    return total


def _cell(architecture: Architecture, place: MacroCell) -> Cell:
    return architecture.normal if place.kind == "normal" else architecture.reduction


def _width(architecture: Architecture, macro: Macro, place: MacroCell, source: int | None) -> int:
    """Channels that a cell reads; from the stage in front of it, unused places are read too."""
    if source is None or source == STEM:
        return macro.stem_filters
    cell, filters = _cell(architecture, macro.cells[source]), macro.cells[source].filters
    states = len(cell.outputs) if filters == place.filters else cell.num_blocks + 2
    return states * filters


def _cell_work(cell: Cell, place: MacroCell) -> Work:
    filters = place.filters
    full, out = math.prod(place.input_size), math.prod(place.output_size)
    total = Work()
    for block in cell.blocks:
        for name, state in ((block.left_op, block.left_input), (block.right_op, block.right_input)):
            strides = place.stride == 2 and state < 2
            total += _operation(
                FORMS[name], filters, full if strides else out, out, strides=strides
            )
        total += Work(elements=filters * out)
        if block.combine == "concat":
            total += _convolution(1, 2 * filters, filters, out)
    if place.stride == 2:
        for state in cell.outputs:
            if state < 2:
                total += _convolution(1, filters, filters, out)
    return total


def _convolution(kernel: int, inputs: int, outputs: int, positions: int) -> Work:
    """ReLU, convolution and normalization at `positions` outputs."""
    return Work(
        dense=kernel * inputs * outputs * positions,
        elements=(inputs + 2 * outputs) * positions,
    )


def _operation(form: Form, filters: int, before: int, after: int, *, strides: bool) -> Work:
    match form:
        case Identity():
            if strides:
                return _convolution(1, filters, filters, after)
            return Work(elements=filters * after)
        case Convolution(size=size):
            return _convolution(size**2, filters, filters, after)
        case FactorizedConvolution(size=size):
            first = _convolution(size, filters, filters, before)
            return first + _convolution(size, filters, filters, after)
        case SeparableConvolution(size=size):
            depthwise = Work(window=size**2 * filters * after, elements=2 * filters * after)
            once = depthwise + _convolution(1, filters, filters, after)
            return once + once
        case Pool(size=size):
            # Rows, then columns.
            return Work(window=2 * size * filters * after, elements=2 * filters * after)
