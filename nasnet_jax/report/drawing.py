"""Figures of cells and networks, drawn by matplotlib: SVG, PNG, PDF or an array of pixels."""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from nasnet_jax.paths import local_path
from nasnet_jax.report.layout import CellLayout, lay_out
from nasnet_jax.report.palette import FAMILIES, INK, LINE, family
from nasnet_jax.space.architecture import Architecture, Cell
from nasnet_jax.space.decisions import CELL_KINDS
from nasnet_jax.space.operations import LABELS

FORMATS = ("svg", "png", "pdf")
"""What `save` can write; the suffix of the file picks one."""

DPI = 100
"""Pixels of a drawing for an inch of the figure; PNG files have twice as many, for sharp screens."""

# All lengths in pixels. A block is two operation boxes side by side, their combination above.
COLUMN = 200.0
ROW = 112.0
BOX_WIDTH, BOX_HEIGHT = 92.0, 24.0
HALF = 48.0  # From the middle of a block to that of an operation box.
COMBINE_WIDTH, COMBINE_HEIGHT = 54.0, 20.0
RISE = 20.0  # From a block's middle up to that of the combination, and down to the operations.
OUTPUT_GAP = 12.0  # Between the ends of lines at the concatenation.
MARGIN, TITLE = 14.0, 34.0
FONT = 11.5

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # Text stays text: small files that can be searched.
    "svg.hashsalt": "nasnet_jax",  # Equal drawings are equal files.
    "font.family": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
}
_TITLES = {"normal": "Normal cell", "reduction": "Reduction cell (stride 2 on its inputs)"}


def architecture_figure(architecture: Architecture) -> Figure:
    """Draws both cells as the paper's figures do, the normal one above the reduction cell."""
    cells: list[Cell] = [getattr(architecture, kind) for kind in CELL_KINDS]
    layouts = [lay_out(cell) for cell in cells]
    heights = [layout.rows * ROW + TITLE for layout in layouts]
    width = max(layout.columns for layout in layouts) * COLUMN
    figure, axes = blank_figure(width, sum(heights))
    bottom = sum(heights)
    for kind, cell, layout, height in zip(CELL_KINDS, cells, layouts, heights, strict=True):
        bottom -= height
        draw_text(axes, 0, bottom + height - TITLE / 2, _TITLES[kind], size=15, align="left")
        _draw_cell(axes, cell, layout, left=(width - layout.columns * COLUMN) / 2, bottom=bottom)
    return figure


def architecture_svg(architecture: Architecture) -> str:
    """Returns the drawing of both cells as an SVG document without an XML prolog, for notebooks."""
    text = io.StringIO()
    _write(architecture_figure(architecture), text, "svg")
    return text.getvalue()[text.getvalue().index("<svg") :]


def architecture_image(architecture: Architecture) -> np.ndarray:
    """Returns the drawing of both cells as pixels, uint8 `[height, width, 3]`, for TensorBoard."""
    with matplotlib.rc_context(_STYLE):
        canvas = FigureCanvasAgg(architecture_figure(architecture))
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes a figure in the format that the suffix names; makes the folder if needed.

    Returns:
        The file.

    Raises:
        ValueError: If the suffix is none of `FORMATS`.
    """
    target = local_path(path)
    suffix = target.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise ValueError(
            f"A drawing can be written as {', '.join(FORMATS)}, which the end of the file's name "
            f"says, but the name is {target.name!r}."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(figure, target, suffix)
    return target


def blank_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Makes a white figure whose axes are pixels with y upwards, `MARGIN` around them."""
    full_width, full_height = width + 2 * MARGIN, height + 2 * MARGIN
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(-MARGIN, width + MARGIN)
    axes.set_ylim(-MARGIN, height + MARGIN)
    axes.set_axis_off()
    return figure, axes


def draw_box(
    axes: Axes, x: float, y: float, label: str, *, size: tuple[float, float], fill: str
) -> None:
    """Draws a box with rounded corners and a label around the point (x, y)."""
    width, height = size
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=5",
            facecolor=fill,
            edgecolor=INK,
            linewidth=0.8,
            zorder=2,
        )
    )
    draw_text(axes, x, y, label)


def draw_text(
    axes: Axes, x: float, y: float, text: str, *, size: float = FONT, align: str = "center"
) -> None:
    """Writes text of `size` pixels beside or around the point (x, y)."""
    points = size * 72 / DPI
    axes.text(x, y, text, fontsize=points, color=INK, ha=align, va="center_baseline", zorder=3)


def draw_line(axes: Axes, points: Sequence[tuple[float, float]], *, arrow: bool = True) -> None:
    """Draws a line upwards through points, by turns straight up and curved.

    Args:
        axes: To draw on.
        points: An even number: from the first a curve leads to the second, from the second a
            straight line to the third, and so on.
        arrow: Whether it ends with an arrow head.
    """
    vertices, codes = [points[0]], [int(Path.MOVETO)]
    for index in range(1, len(points)):
        (x0, y0), (x1, y1) = points[index - 1], points[index]
        if index % 2:
            middle = (y0 + y1) / 2
            vertices += [(x0, middle), (x1, middle), (x1, y1)]
            codes += [int(Path.CURVE4)] * 3
        else:
            vertices.append((x1, y1))
            codes.append(int(Path.LINETO))
    axes.add_patch(
        PathPatch(
            Path(np.array(vertices), codes), facecolor="none", edgecolor=LINE, linewidth=1, zorder=1
        )
    )
    if arrow:
        x, y = points[-1]
        head = Path(np.array([(x - 3, y - 6), (x, y), (x + 3, y - 6), (x - 3, y - 6)]))
        axes.add_patch(PathPatch(head, facecolor=LINE, edgecolor="none", zorder=1))


def _draw_cell(axes: Axes, cell: Cell, layout: CellLayout, *, left: float, bottom: float) -> None:
    def position(column: float, row: int) -> tuple[float, float]:
        return left + column * COLUMN, bottom + (row + 0.5) * ROW

    centres = [position(place.column, place.row) for place in layout.places]
    for edge, offset in zip(layout.edges, _offsets(layout), strict=True):
        x, y = centres[edge.state]
        points = [(x, y + (BOX_HEIGHT / 2 if edge.state < 2 else RISE + COMBINE_HEIGHT / 2))]
        for number, column in enumerate(edge.via, start=1):
            x, y = position(column, layout.places[edge.state].row + number)
            points += [(x, y - ROW / 3), (x, y + ROW / 3)]
        x, y = centres[edge.reader]
        depth = BOX_HEIGHT / 2 + (RISE if edge.side else 0)
        draw_line(axes, [*points, (x + offset, y - depth)])
    for centre, name in zip(centres, ("$h_i$", "$h_{i-1}$"), strict=False):
        draw_box(axes, *centre, name, size=(COMBINE_WIDTH, BOX_HEIGHT), fill=FAMILIES["state"])
    for index, block in enumerate(cell.blocks):
        x, y = centres[index + 2]
        for edge, operation in zip(
            layout.edges[2 * index : 2 * index + 2], (block.left_op, block.right_op), strict=True
        ):
            box_x = x + edge.side * HALF
            draw_line(
                axes,
                [(box_x, y - RISE + BOX_HEIGHT / 2), (x, y + RISE - COMBINE_HEIGHT / 2)],
                arrow=False,
            )
            fill = FAMILIES[family(operation)]
            size = (BOX_WIDTH, BOX_HEIGHT)
            draw_box(axes, box_x, y - RISE, LABELS[operation], size=size, fill=fill)
        size = (COMBINE_WIDTH, COMBINE_HEIGHT)
        draw_box(axes, x, y + RISE, block.combine, size=size, fill=FAMILIES["combine"])
    x, y = centres[-1]
    draw_box(axes, x, y, "concat", size=(BOX_WIDTH, BOX_HEIGHT), fill=FAMILIES["output"])
    draw_line(axes, [(x, y + BOX_HEIGHT / 2), (x, y + BOX_HEIGHT / 2 + 14)])
    draw_text(axes, x, y + BOX_HEIGHT / 2 + 24, "$h_{i+1}$")


def _offsets(layout: CellLayout) -> list[float]:
    """Returns how far from the middle of its reader each edge ends, in pixels."""
    to_output = sorted(
        (edge for edge in layout.edges if edge.side == 0),
        key=lambda edge: (layout.places[edge.state].column, *edge.via)[-1],
    )
    spread = {
        edge.state: (index - (len(to_output) - 1) / 2) * OUTPUT_GAP
        for index, edge in enumerate(to_output)
    }
    return [edge.side * HALF if edge.side else spread[edge.state] for edge in layout.edges]


def _write(figure: Figure, target: pathlib.Path | io.StringIO, suffix: str) -> None:
    # Without a date, equal drawings are equal files.
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    with matplotlib.rc_context(_STYLE):
        figure.savefig(target, format=suffix, dpi=2 * DPI, metadata=dates[suffix])
