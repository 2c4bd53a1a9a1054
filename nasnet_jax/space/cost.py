"""What an architecture costs: parameters and multiply-adds, by arithmetic alone.

The rules are those of `nasnet_jax.nn` (convolutions without bias, batch normalization with scale and
offset), which a test compares with the real networks, and the counts of NASNet-A are the published
ones. Multiply-adds count convolutions (output positions times kernel parameters, depthwise ones
too) and the classifier, for one image; pooling, normalization and additions count nothing.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from nasnet_jax.space.architecture import Architecture, Cell
from nasnet_jax.space.macro import CellWidths, Macro, MacroCell, Size, aux_head_map_size
from nasnet_jax.space.operations import (
    FORMS,
    Convolution,
    FactorizedConvolution,
    Form,
    Identity,
    Pool,
    SeparableConvolution,
)

AUX_HEAD_FILTERS = (128, 768)
"""Filters of the auxiliary head's 1x1 convolution and of its full-map convolution (slim)."""


class Count(NamedTuple):
    """Trainable parameters, batch normalization's running statistics, and multiply-adds."""

    params: int = 0
    statistics: int = 0
    macs: int = 0

    def plus(self, other: Count) -> Count:
        """Returns the sum of two counts."""
        return Count(
            self.params + other.params,
            self.statistics + other.statistics,
            self.macs + other.macs,
        )


@dataclasses.dataclass(frozen=True)
class CostRow:
    """The cost of one part of a network.

    Attributes:
        name: `stem`, the name of a cell, or `final_layer`.
        shape: The part's output for one image, `(height, width, channels)`, or `(classes,)`.
        params: Trainable parameters.
        statistics: Running means and variances of batch normalization.
        macs: Multiply-adds for one image.
    """

    name: str
    shape: tuple[int, ...]
    params: int
    statistics: int
    macs: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a network without its auxiliary head.

    Attributes:
        rows: The parts in the order in which they are computed.
        params: Trainable parameters.
        statistics: Running means and variances of batch normalization.
        macs: Multiply-adds for one image.
        aux_head_params: Trainable parameters of the auxiliary head, which exists in training only
            and is in no other number here; 0 where the network can have none.
    """

    rows: tuple[CostRow, ...]
    params: int
    statistics: int
    macs: int
    aux_head_params: int

    @property
    def variables(self) -> int:
        """Parameters and statistics together, what other libraries report as parameters."""
        return self.params + self.statistics


def cost(architecture: Architecture, macro: Macro) -> Cost:
    """Counts the parameters and multiply-adds of a network.

    Args:
        architecture: What is inside the cells.
        macro: The outer skeleton.
    """
    positions = math.prod(macro.stem_size)
    stem = _conv_bn(9, macro.image_channels, macro.stem_filters, positions)
    rows = [_row("stem", (*macro.stem_size, macro.stem_filters), stem)]
    widths = macro.widths(architecture)
    for place, width in zip(macro.cells, widths, strict=True):
        cell = architecture.normal if place.kind == "normal" else architecture.reduction
        count = _cell(cell, place, width)
        rows.append(_row(place.name, (*place.output_size, width.output), count))
    aux_head_params = 0
    if macro.num_classes is not None:
        weights = widths[-1].output * macro.num_classes
        head = Count(params=weights + macro.num_classes, macs=weights)
        rows.append(_row("final_layer", (macro.num_classes,), head))
        place_of_aux = macro.aux_head_cell
        if place_of_aux is not None:
            aux_head_params = _aux_head_params(
                widths[place_of_aux.index].output, place_of_aux.output_size, macro.num_classes
            )
    return Cost(
        rows=tuple(rows),
        params=sum(row.params for row in rows),
        statistics=sum(row.statistics for row in rows),
        macs=sum(row.macs for row in rows),
        aux_head_params=aux_head_params,
    )


def _row(name: str, shape: tuple[int, ...], count: Count) -> CostRow:
    return CostRow(name, shape, count.params, count.statistics, count.macs)


def _conv_bn(kernel: int, channels: int, filters: int, positions: int) -> Count:
    """A convolution of `kernel` positions and its normalization, at `positions` outputs."""
    weights = kernel * channels * filters
    return Count(weights + 2 * filters, 2 * filters, weights * positions)


def _cell(cell: Cell, place: MacroCell, width: CellWidths) -> Count:
    filters = place.filters
    full, out = math.prod(place.input_size), math.prod(place.output_size)
    total = _conv_bn(1, width.current, filters, full)
    if width.transform in ("reduce", "project"):
        # A factorized reduction has the weights of a 1x1 convolution, half of them on each path.
        total = total.plus(_conv_bn(1, width.previous, filters, full))
    channels = [filters, width.state_1] + [filters] * cell.num_blocks
    for block in cell.blocks:
        for name, state in ((block.left_op, block.left_input), (block.right_op, block.right_input)):
            is_input = state < 2
            total = total.plus(
                _operation(
                    FORMS[name],
                    channels[state],
                    filters,
                    stride=place.stride if is_input else 1,
                    positions_in=full if is_input else out,
                    positions_out=out,
                )
            )
        if block.combine == "concat":
            total = total.plus(_conv_bn(1, 2 * filters, filters, out))
    for state in cell.outputs:
        # An input in the output is reduced in a reduction cell, and projected if its width differs.
        if state < 2 and (place.stride == 2 or channels[state] != filters):
            total = total.plus(_conv_bn(1, channels[state], filters, out))
    return total


def _operation(
    form: Form, channels: int, filters: int, *, stride: int, positions_in: int, positions_out: int
) -> Count:
    """An operation of this form from `channels` to `filters` channels."""
    adapted = _conv_bn(1, channels, filters, positions_out)
    match form:
        case Identity():
            return Count() if stride == 1 and channels == filters else adapted
        case Pool():
            return Count() if channels == filters else adapted
        case Convolution(size=size):
            return _conv_bn(size**2, channels, filters, positions_out)
        case FactorizedConvolution(size=size):
            first = _conv_bn(size, channels, filters, positions_in)  # only the second one strides
            return first.plus(_conv_bn(size, filters, filters, positions_out))
        case SeparableConvolution(size=size):
            total = Count()
            for inputs in (channels, filters):
                depthwise = size**2 * inputs
                total = total.plus(Count(params=depthwise, macs=depthwise * positions_out))
                total = total.plus(_conv_bn(1, inputs, filters, positions_out))
            return total


def _aux_head_params(channels: int, size: Size, classes: int) -> int:
    first, second = AUX_HEAD_FILTERS
    window = math.prod(aux_head_map_size(size))
    convolutions = _conv_bn(1, channels, first, 1).plus(_conv_bn(window, first, second, 1))
    return convolutions.params + second * classes + classes
