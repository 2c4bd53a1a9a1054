"""Draws the curves of the benchmark `scale`."""

from __future__ import annotations

import pathlib

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from results import Row

COLUMNS = 3
# The same file for the same numbers, without a date and with ids that do not change.
STABLE = {"svg.hashsalt": "nasnet_jax", "svg.fonttype": "none"}


def draw(rows: list[Row], path: pathlib.Path) -> None:
    """Writes an SVG with one small plot for each row: medians, and the fitted power of the work."""
    lines = -(-len(rows) // COLUMNS)
    with matplotlib.rc_context(STABLE):
        figure = Figure(figsize=(4 * COLUMNS, 3 * lines), layout="constrained")
        for number, one in enumerate(rows):
            axes = figure.add_subplot(lines, COLUMNS, number + 1)
            axis = np.array(one.details["axis"], float)
            medians = np.array([np.median(some) for some in one.details["seconds"]])
            # Through the mean in logarithms, as the fit goes.
            start = np.exp(np.mean(np.log(medians)) - one.value * np.mean(np.log(axis)))
            axes.loglog(axis, start * axis**one.value, color="#9ca3af")
            axes.loglog(axis, medians, "o", color="#3b82c4")
            axes.set_title(f"{one.what}\nexponent {one.value:.2f}", fontsize=9)
            axes.set_xlabel(one.details["axis_unit"], fontsize=8)
            axes.set_ylabel(
                "share of the ideal" if "simulated" in one.what else "seconds", fontsize=8
            )
            axes.tick_params(labelsize=7, which="both")
        figure.savefig(path, format="svg", metadata={"Date": None})
