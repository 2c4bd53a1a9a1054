"""The figure of a schedule: chunks across, kinds of layer up, a colour for each child."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.space.architecture import Architecture
from nasnet_jax.space.operations import LABELS, OPERATIONS
from nasnet_jax.supernet.calls import Stage, stage_calls
from nasnet_jax.supernet.kinds import Kinds, calls_of
from nasnet_jax.supernet.schedule import schedule

COLUMN, ROW = 0.16, 0.11
"""Inches of a chunk, and of one of the calls that it has room for."""


def schedule_figure(architectures: Sequence[Architecture], num_cells: int, chunk: int) -> Figure:
    """Draws what a device does for these children, in a stage of normal cells.

    Args:
        architectures: Of the children, with equally many blocks.
        num_cells: N, of the stage.
        chunk: s, the most calls of a chunk.

    Raises:
        ValueError: If they have different numbers of blocks.
    """
    blocks = {one.num_blocks for one in architectures}
    if len(blocks) > 1:
        raise ValueError(
            f"Children of one search have equally many blocks; these have {sorted(blocks)}."
        )
    # What is scheduled does not depend on the number of filters.
    kinds = Kinds(1, LayerConfig(track_statistics=False), reduces=False)
    calls = stage_calls(Stage(num_cells, blocks.pop(), kinds), architectures).calls
    chunks = schedule(calls, chunk)
    used = sorted({one.kind for one in chunks})
    children = np.full((len(used) * chunk, len(chunks)), np.nan)
    for column, one in enumerate(chunks):
        first = used.index(one.kind) * chunk
        for place, number in enumerate(one.calls):
            children[first + place, column] = calls[number].child
    figure = Figure(
        figsize=(2.4 + COLUMN * len(chunks), 0.9 + ROW * len(children)), layout="constrained"
    )
    axes = figure.add_subplot()
    colours = ListedColormap(matplotlib.colormaps["tab10"](np.arange(len(architectures)) % 10))
    axes.pcolormesh(
        children, cmap=colours, vmin=-0.5, vmax=len(architectures) - 0.5, edgecolors="white"
    )
    axes.hlines(np.arange(chunk, len(children), chunk), 0, len(chunks), color="0.8", linewidth=0.8)
    axes.set_yticks(chunk * (np.arange(len(used)) + 0.5), [_label(kinds, kind) for kind in used])
    axes.set_xlabel(f"{len(chunks)} chunks of up to {chunk} calls; {len(calls)} calls")
    handles = [
        matplotlib.patches.Patch(color=colours(child), label=f"child {child + 1}")
        for child in range(len(architectures))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 8))
    return figure


def _label(kinds: Kinds, number: int) -> str:
    """A kind by the operations that call it, or by its own name."""
    found = []
    for name in OPERATIONS:
        row = calls_of(kinds, name, halves=False)
        if number in row:
            place = f", {row.index(number) + 1} of {len(row)}" if len(set(row)) > 1 else ""
            found.append(LABELS[name] + place)
    return "; ".join(found) or str(kinds.all[number].name)
