"""The figure of a whole network: its cells from the image up, with shapes and parameters."""

from __future__ import annotations

import dataclasses
import itertools

from matplotlib.figure import Figure

from nasnet_jax.report.drawing import blank_figure, draw_box, draw_line, draw_text
from nasnet_jax.report.palette import FAMILIES
from nasnet_jax.space.architecture import Architecture
from nasnet_jax.space.cost import CostRow, cost
from nasnet_jax.space.macro import Macro

ROW, WIDTH = 46.0, 190.0
"""Pixels from box to box and the width of one."""

_SIDE = 250.0
_TITLE = 36.0


@dataclasses.dataclass(frozen=True)
class Layer:
    """A box of the stack.

    Attributes:
        label: What it is.
        fill: Its colour.
        shape: Of its output.
        params: Trainable parameters.
    """

    label: str
    fill: str
    shape: tuple[int, ...]
    params: int


def layers(architecture: Architecture, macro: Macro) -> list[Layer]:
    """Lists the boxes from the image to the classifier; equal cells in a row are one box."""
    kinds = {cell.name: cell.kind for cell in macro.cells}
    stack = [
        Layer("image", FAMILIES["state"], (*macro.image_height_width, macro.image_channels), 0)
    ]
    rows = cost(architecture, macro).rows

    def key(row: CostRow) -> tuple[str, tuple[int, ...]]:
        return kinds.get(row.name, row.name), row.shape

    for (kind, shape), group in itertools.groupby(rows, key):
        members = list(group)
        times = f" \N{MULTIPLICATION SIGN} {len(members)}" if kind == "normal" else ""
        label, fill = {
            "stem": ("3x3 convolution", FAMILIES["convolution"]),
            "normal": (f"normal cell{times}", FAMILIES["separable"]),
            "reduction": ("reduction cell", FAMILIES["pooling"]),
            "final_layer": ("mean, classifier", FAMILIES["output"]),
        }[kind]
        stack.append(Layer(label, fill, shape, sum(row.params for row in members)))
    return stack


def network_figure(architecture: Architecture, macro: Macro) -> Figure:
    """Draws the stack of a network, the image at the bottom, as Figure 2 of the paper does."""
    stack = layers(architecture, macro)
    total = cost(architecture, macro)
    figure, axes = blank_figure(WIDTH + _SIDE, len(stack) * ROW + _TITLE)
    title = (
        f"{total.params / 1e6:.2f} M trainable parameters, {total.macs / 1e6:.0f} M multiply-adds"
    )
    draw_text(axes, 0, len(stack) * ROW + _TITLE / 2, title, size=15, align="left")
    for index, layer in enumerate(stack):
        y = (index + 0.5) * ROW
        draw_box(axes, WIDTH / 2, y, layer.label, size=(WIDTH, 28), fill=layer.fill)
        if index:
            draw_line(axes, [(WIDTH / 2, y - ROW + 14), (WIDTH / 2, y - 14)])
        times = " \N{MULTIPLICATION SIGN} "
        shape = times.join(map(str, layer.shape))
        if len(layer.shape) == 1:
            shape += " classes" if macro.num_classes is not None else " features"
        params = f",  {layer.params:,} parameters" if layer.params else ""
        draw_text(axes, WIDTH + 14, y, shape + params, align="left")
    return figure
