"""The outer skeleton of a NASNet: which cells there are, how wide, and what each one reads.

The paper fixes this by hand (Figure 2) and searches only the inside of the cells. This module is
the one place that knows the skeleton: networks, costs and descriptions loop over `Macro.cells` and,
where they need the numbers of channels, over `Macro.widths`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Literal

from nasnet_jax.space.architecture import Architecture

Size = tuple[int, int]
"""Height and width in pixels."""

STEM = -1
"""The index that stands for the stem convolution where a cell's inputs are named."""

AUX_POOL_WINDOW = 5
AUX_POOL_STRIDE = 3
"""The auxiliary head begins with a VALID average pooling of this window and stride (slim)."""

_IMAGENET_STEM_FILTERS = 32
_STEM_CELL_SCALES: dict[str, tuple[float, ...]] = {"cifar": (), "imagenet": (0.25, 0.5)}
"""F of the reduction cells that belong to the stem, as a share of `num_filters`."""

_LEAST_FILTERS = {"cifar": 2, "imagenet": 8}
"""A factorized reduction splits the filters of a cell over two paths, so no cell has fewer than 2."""

PreviousTransform = Literal["raw", "reduce", "project", "keep"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MacroCell:
    """One cell of the skeleton, the same for every architecture.

    Attributes:
        index: Its place among all cells, stem and reduction cells included, from 0; this is the
            cell number that ScheduledDropPath scales with.
        name: `cell_stem_0`, `cell_0`, `reduction_cell_0`, ... as in the released checkpoints.
        kind: Whether it is made from the normal or from the reduction cell of the architecture.
        filters: F of this cell, the number of channels of each hidden state.
        current: Index of the cell whose output is the current input h_i, or `STEM`.
        previous: Index of the cell whose output is the previous input h_{i-1}, or `STEM`, or `None`
            where there is no previous output yet.
        input_size: Height and width of the current input.
        previous_size: Height and width of the previous input; `input_size`, or the size before the
            halving if the current input is the output of a reduction. `None` without previous input.
        output_size: Height and width of the output.
        aux_head: Whether the auxiliary head reads the output of this cell.
    """

    index: int
    name: str
    kind: Literal["normal", "reduction"]
    filters: int
    current: int
    previous: int | None
    input_size: Size
    previous_size: Size | None
    output_size: Size
    aux_head: bool

    @property
    def stride(self) -> int:
        """2 in a reduction cell, where operations on states 0 and 1 halve the size, else 1."""
        return 2 if self.kind == "reduction" else 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellWidths:
    """Numbers of channels around one cell, which depend on the architecture's outputs.

    Attributes:
        current: Channels of the current input, before its projection to F.
        previous: Channels of the previous input, or of the current one where there is none.
        transform: How the previous input becomes state 1.
            `raw`: there is none, the current input is taken as it is;
            `reduce`: ReLU and a factorized reduction to half the size and F channels;
            `project`: ReLU, 1x1 convolution to F channels and batch normalization;
            `keep`: as it is.
        state_1: Channels of state 1: F, except after `raw`.
        output: Channels of the output: F for each output state.
    """

    current: int
    previous: int
    transform: PreviousTransform
    state_1: int
    output: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Macro:
    """The outer skeleton of a network.

    Attributes:
        num_cells: N, the number of normal cells in a stage.
        num_filters: F of the first stage; every reduction cell between stages doubles it.
        num_classes: Outputs of the classifier; 0 or `None` (kept as `None`) for no classifier.
        image_size: Height and width in pixels, or one number for both (kept as a pair).
        stem: `cifar`: a 3x3 convolution of stride 1 to `stem_multiplier * F` channels. `imagenet`: a
            3x3 VALID convolution of stride 2 to `32 * stem_multiplier` channels and two reduction
            cells with F/4 and F/2 filters.
        stem_multiplier: 3.0 for the published CIFAR and Large networks, 1.0 for Mobile.
        num_reductions: Reduction cells between the stages, so that there are `num_reductions + 1`
            stages; 2 in all published networks, fewer for tiny images.
        uniform_inputs: Whether both inputs of every cell are projected to F channels (the skeleton
            of the search) instead of the released code's special cases (the published networks).
        skip_reduction_layer_input: Whether the previous input of the cell after a reduction is the
            reduction's previous input (Large) instead of its current one.
        image_channels: Channels of the images.

    Raises:
        ValueError: If a field is out of range or the images are too small for the reductions.
    """

    num_cells: int
    num_filters: int
    num_classes: int | None
    image_size: int | Size
    stem: Literal["cifar", "imagenet"] = "cifar"
    stem_multiplier: float = 3.0
    num_reductions: int = 2
    uniform_inputs: bool = False
    skip_reduction_layer_input: bool = False
    image_channels: int = 3

    def __post_init__(self) -> None:
        size = self.image_size
        object.__setattr__(
            self, "image_size", (size, size) if isinstance(size, int) else tuple(size)
        )
        object.__setattr__(self, "num_classes", self.num_classes or None)
        if len(self.image_height_width) != 2 or min(self.image_height_width) < 1:
            raise ValueError(f"image_size is a height and a width in pixels, but it is {size!r}.")
        if self.stem not in ("cifar", "imagenet"):
            raise ValueError(f"stem is 'cifar' or 'imagenet', but it is {self.stem!r}.")
        for field, least in (
            ("num_cells", 1),
            ("num_filters", _LEAST_FILTERS[self.stem]),
            ("num_reductions", 0),
            ("image_channels", 1),
            ("num_classes", 1),
        ):
            value = getattr(self, field)
            if value is not None and value < least:
                raise ValueError(f"{field} must be at least {least}, but it is {value}.")
        if not math.isfinite(self.stem_multiplier) or self.stem_filters < 1:
            raise ValueError(
                f"stem_multiplier is {self.stem_multiplier}, which leaves the stem without filters."
            )
        self._check_image_size()

    def _check_image_size(self) -> None:
        reductions = self.num_reductions + len(_STEM_CELL_SCALES[self.stem])
        side = min(self.stem_size)
        for number in range(1, reductions + 1):
            if side < 2:
                height, width = self.image_height_width
                raise ValueError(
                    f"Images of {height}x{width} are too small for the {reductions} reduction "
                    f"cells of this network: number {number} would have to halve a side of {side}. Use "
                    f"larger images, a smaller num_reductions, or the 'cifar' stem."
                )
            side = _halved(side)

    @property
    def image_height_width(self) -> Size:
        """The image size as a pair, whichever way it was given."""
        assert isinstance(self.image_size, tuple)
        return self.image_size

    @property
    def stem_filters(self) -> int:
        """Channels of the stem convolution's output."""
        base = _IMAGENET_STEM_FILTERS if self.stem == "imagenet" else self.num_filters
        return int(base * self.stem_multiplier)

    @property
    def stem_size(self) -> Size:
        """Height and width of the stem convolution's output."""
        if self.stem == "cifar":
            return self.image_height_width
        height, width = self.image_height_width
        return (max(height - 1, 0) // 2, max(width - 1, 0) // 2)  # 3x3, stride 2, VALID

    @functools.cached_property
    def cells(self) -> tuple[MacroCell, ...]:
        """All cells in the order in which they are computed."""
        plan: list[tuple[str, Literal["normal", "reduction"], float]] = [
            (f"cell_stem_{index}", "reduction", scale)
            for index, scale in enumerate(_STEM_CELL_SCALES[self.stem])
        ]
        for stage in range(self.num_reductions + 1):
            if stage > 0:
                plan.append((f"reduction_cell_{stage - 1}", "reduction", 2.0**stage))
            first = stage * self.num_cells
            plan += [
                (f"cell_{index}", "normal", 2.0**stage)
                for index in range(first, first + self.num_cells)
            ]
        cells: list[MacroCell] = []
        for index, (name, kind, scale) in enumerate(plan):
            previous = self._previous(cells)
            input_size = _output_size(self, cells, index - 1)
            output_size = (
                (_halved(input_size[0]), _halved(input_size[1]))
                if kind == "reduction"
                else input_size
            )
            before_last_reduction = name == f"cell_{self.num_reductions * self.num_cells - 1}"
            cells.append(
                MacroCell(
                    index=index,
                    name=name,
                    kind=kind,
                    filters=int(self.num_filters * scale),
                    current=index - 1,
                    previous=previous,
                    input_size=input_size,
                    previous_size=None if previous is None else _output_size(self, cells, previous),
                    output_size=output_size,
                    aux_head=before_last_reduction and min(output_size) >= AUX_POOL_WINDOW,
                )
            )
        return tuple(cells)

    def _previous(self, cells: list[MacroCell]) -> int | None:
        """Index of the cell (or `STEM`) that is the previous input of the cell after `cells`."""
        if not cells:
            return STEM if self.uniform_inputs else None
        last = cells[-1]
        if self.skip_reduction_layer_input and last.name.startswith("reduction_cell"):
            return last.previous
        return last.current

    @property
    def aux_head_cell(self) -> MacroCell | None:
        """The cell whose output the auxiliary head reads.

        It is the last one before the last reduction cell (two thirds up, as in the paper, for three
        stages). `None` without a reduction, or where the map there is smaller than the head's 5x5
        pooling window.
        """
        return next((cell for cell in self.cells if cell.aux_head), None)

    def widths(self, architecture: Architecture) -> tuple[CellWidths, ...]:
        """Returns the numbers of channels around every cell, in the order of `cells`."""
        outputs = {
            "normal": len(architecture.normal.outputs),
            "reduction": len(architecture.reduction.outputs),
        }
        widths: list[CellWidths] = []
        for cell in self.cells:
            current = self._output_channels(widths, cell.current)
            previous = (
                current if cell.previous is None else self._output_channels(widths, cell.previous)
            )
            transform = self._transform(cell, previous)
            widths.append(
                CellWidths(
                    current=current,
                    previous=previous,
                    transform=transform,
                    state_1=current if transform == "raw" else cell.filters,
                    output=outputs[cell.kind] * cell.filters,
                )
            )
        return tuple(widths)

    def _output_channels(self, widths: list[CellWidths], index: int) -> int:
        return self.stem_filters if index == STEM else widths[index].output

    def _transform(self, cell: MacroCell, previous_channels: int) -> PreviousTransform:
        if cell.previous is None:
            return "raw"
        if cell.previous_size != cell.input_size:
            return "reduce"
        if self.uniform_inputs or previous_channels != cell.filters:
            return "project"
        return "keep"


def aux_head_map_size(size: Size) -> Size:
    """Returns what the auxiliary head's pooling leaves of a map of at least 5x5."""
    height, width = ((side - AUX_POOL_WINDOW) // AUX_POOL_STRIDE + 1 for side in size)
    return height, width


def _output_size(macro: Macro, cells: list[MacroCell], index: int) -> Size:
    return macro.stem_size if index == STEM else cells[index].output_size


def _halved(side: int) -> int:
    """The length that is left of a side by SAME stride 2."""
    return (side + 1) // 2
