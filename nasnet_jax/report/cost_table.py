"""What networks cost, stage by stage or side by side: tables for people, plain data for programs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nasnet_jax.space import Architecture, Cost, CostRow, Macro, cost

_HEADINGS = ("stage", "output", "trainable", "statistics", "multiply-adds")
_NORMAL = re.compile(r"cell_\d+")


@dataclasses.dataclass(frozen=True)
class Stage:
    """Parts of a network that follow each other and whose outputs have the same shape.

    Attributes:
        name: Of the part, or of the first and the last one: `cell_0..cell_3`.
        parts: The costs of the parts, in order.
    """

    name: str
    parts: tuple[CostRow, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The output for one image, `(height, width, channels)`, or `(classes,)`."""
        return self.parts[-1].shape

    @property
    def trainable(self) -> int:
        """Trainable parameters."""
        return sum(part.params for part in self.parts)

    @property
    def statistics(self) -> int:
        """Running means and variances of batch normalization."""
        return sum(part.statistics for part in self.parts)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return sum(part.macs for part in self.parts)


def stages(costs: Cost) -> list[Stage]:
    """Groups the parts of a network: normal cells that follow each other, others alone."""
    groups: list[list[CostRow]] = []
    for row in costs.rows:
        if groups and _NORMAL.fullmatch(row.name) and _NORMAL.fullmatch(groups[-1][-1].name):
            groups[-1].append(row)
        else:
            groups.append([row])
    return [Stage(_name(group), tuple(group)) for group in groups]


def cost_data(architecture: Architecture, macro: Macro) -> dict[str, Any]:
    """What a network costs, as plain data.

    Returns:
        `params` (with the statistics of batch normalization, as other libraries count), `trainable`,
        `macs` (multiply-adds for one image), `aux_head_params` (trainable, in training only, in no
        other number), `architecture` (in one line) and `stages`, each with `name`, `cells` (the names
        of its parts), `shape`, `params`, `trainable` and `macs`.
    """
    costs = cost(architecture, macro)
    return {
        "params": costs.variables,
        "trainable": costs.params,
        "macs": costs.macs,
        "aux_head_params": costs.aux_head_params,
        "architecture": architecture.one_line(),
        "stages": [
            {
                "name": stage.name,
                "cells": [part.name for part in stage.parts],
                "shape": list(stage.shape),
                "params": stage.trainable + stage.statistics,
                "trainable": stage.trainable,
                "macs": stage.macs,
            }
            for stage in stages(costs)
        ],
    }


def cost_text(architecture: Architecture, macro: Macro) -> str:
    """What a network costs, as a table: a line for each stage, then the totals.

    Returns:
        Lines without a newline at the end.
    """
    costs = cost(architecture, macro)
    rows = [
        (
            stage.name,
            "x".join(map(str, stage.shape)),
            f"{stage.trainable:,}",
            f"{stage.statistics:,}",
            f"{stage.macs:,}",
        )
        for stage in stages(costs)
    ]
    totals = ("total", "", f"{costs.params:,}", f"{costs.statistics:,}", f"{costs.macs:,}")
    lines = _table(_HEADINGS, rows, totals)
    features = next(row for row in reversed(costs.rows) if len(row.shape) == 3).shape[-1]
    title = f"{macro.num_cells} @ {features}, {_images(macro)}"
    summary = [
        f"{costs.variables:,} parameters with the statistics of batch normalization",
        f"{_short(costs.macs)} multiply-adds for one image",
    ]
    if costs.aux_head_params:
        summary.append(
            f"{costs.aux_head_params:,} parameters of an auxiliary head, in training only"
        )
    return "\n".join([title, "", *lines, "", *summary])


def comparison_data(
    architectures: Mapping[str, Architecture], macro: Macro
) -> list[dict[str, Any]]:
    """What several architectures cost in the same skeleton, as plain data.

    Args:
        architectures: By what to call them.
        macro: The skeleton.

    Returns:
        For each `name`, and `params`, `trainable`, `macs` and `architecture` as of `cost_data`.
    """
    kept = ("params", "trainable", "macs", "architecture")
    found = {name: cost_data(architecture, macro) for name, architecture in architectures.items()}
    return [{"name": name} | {key: data[key] for key in kept} for name, data in found.items()]


def comparison_text(architectures: Mapping[str, Architecture], macro: Macro) -> str:
    """The same as a table, a line for each architecture."""
    rows = []
    for name, architecture in architectures.items():
        costs = cost(architecture, macro)
        features = next(row for row in reversed(costs.rows) if len(row.shape) == 3).shape[-1]
        shares = (f"{architecture.num_blocks}", f"{macro.num_cells} @ {features}")
        rows.append((name, *shares, f"{costs.params:,}", f"{costs.variables:,}", f"{costs.macs:,}"))
    headings = ("architecture", "blocks", "N @ P", "trainable", "with statistics", "multiply-adds")
    return "\n".join([_images(macro), "", *_table(headings, rows)])


def _images(macro: Macro) -> str:
    height, width = macro.image_height_width
    classes = "no classifier" if macro.num_classes is None else f"{macro.num_classes} classes"
    return f"images of {height}x{width}x{macro.image_channels}, {classes}"


def _table(
    headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], totals: tuple[str, ...] = ()
) -> list[str]:
    last = [totals] if totals else []
    widths = [max(map(len, column)) for column in zip(headings, *rows, *last, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [_line(headings, widths), rule, *(_line(row, widths) for row in rows)]
    return lines + [rule, *(_line(row, widths) for row in last)] if last else lines


def _name(group: list[CostRow]) -> str:
    return group[0].name if len(group) == 1 else f"{group[0].name}..{group[-1].name}"


def _line(words: tuple[str, ...], widths: list[int]) -> str:
    left, right = words[:2], words[2:]
    padded = [word.ljust(width) for word, width in zip(left, widths[:2], strict=True)]
    padded += [word.rjust(width) for word, width in zip(right, widths[2:], strict=True)]
    return "  ".join(padded)


def _short(number: int) -> str:
    """563,640,000 as `563.64 M`."""
    for unit, size in (("B", 10**9), ("M", 10**6)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number:,}"
