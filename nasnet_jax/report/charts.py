"""The plots of the report, by Bokeh; several searches share each plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    HoverTool,
    LogTicker,
    NumeralTickFormatter,
    Range1d,
    TapTool,
)
from bokeh.plotting import figure

from nasnet_jax.report.run import STATUSES, Run

COLOURS = ("#3b82c4", "#e07b39", "#3fa66b", "#b65fc2", "#c9a227", "#d9567a", "#5b6ee1", "#6b7280")
"""Of the searches; each is seen on a light and on a dark ground."""

_MEAN_SHARE = 20
"""The moving mean goes over this fraction of a search's children."""

_WINDOWS = 40
"""The distribution is shown in at most so many windows of time."""


def colour(index: int) -> str:
    """Returns the colour of a search by its number."""
    return COLOURS[index % len(COLOURS)]


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Returns the mean of each value and those before it, `window` in all or as many as there are."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def mean_window(children: int) -> int:
    """Returns over how many children the moving mean of a search goes."""
    return max(children // _MEAN_SHARE, 10)


def pareto_front(cost: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Returns the indices of the children than which none is cheaper and no worse, by cost.

    Of children equal in both, the earliest is taken.
    """
    order = np.lexsort((np.arange(len(cost)), -reward, cost))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], reward[order]]))
    return order[reward[order] > best[:-1]]


def reward_range(runs: Sequence[Run]) -> Range1d:
    """The axis of rewards: all but the diverged children and the worst few, who would squeeze it."""
    rewards = np.concatenate([run.reward[run.status != STATUSES.index("diverged")] for run in runs])
    if not len(rewards):
        return Range1d(start=0.0, end=1.0)
    low, high = np.quantile(rewards, 0.005, method="lower"), rewards.max()
    room = max(0.05 * (high - low), 0.001)
    return Range1d(start=float(low - room), end=float(high + room))


def search_curve(runs: Sequence[Run]) -> figure:
    """Every reward, the best so far and a moving mean, against the mean of the first batch."""
    plot = _plot("children", "reward", pick=True)
    plot.y_range = reward_range(runs)
    for number, run in enumerate(runs):
        x, ink = np.arange(1, len(run) + 1, dtype=np.float32), colour(number)
        points = _child_source(run, number, x)
        faint = max(0.05, min(0.5, 300 / len(run)))
        plot.scatter(
            "x", "reward", source=points, size=4, color=ink, alpha=faint, nonselection_alpha=faint
        )
        random = float(run.reward[run.batch == 0].mean())
        plot.line(
            [1, len(run)],
            [random, random],
            color=ink,
            line_dash="dotted",
            line_width=2,
            legend_label=_legend(runs, run, "mean of the first batch (random)"),
        )
        window = mean_window(len(run))
        plot.line(
            x,
            moving_mean(run.reward, window).astype(np.float32),
            color=ink,
            line_width=3,
            legend_label=_legend(runs, run, f"mean of the last {window}"),
        )
        steps = _changes(np.maximum.accumulate(run.reward))
        plot.step(
            x[steps],
            np.maximum.accumulate(run.reward)[steps],
            mode="after",
            color=ink,
            line_width=2,
            line_dash="dashed",
            legend_label=_legend(runs, run, "best so far"),
        )
    _finish(plot, "bottom_right")
    return plot


def distribution(runs: Sequence[Run]) -> figure:
    """The median and the middle 50 and 80 % of the rewards in windows of time."""
    plot = _plot("children", "reward")
    for number, run in enumerate(runs):
        windows = np.array_split(np.arange(len(run)), min(_WINDOWS, max(len(run) // 10, 1)))
        x = [window.mean() + 1 for window in windows]
        levels = np.array(
            [np.quantile(run.reward[window], [0.1, 0.25, 0.5, 0.75, 0.9]) for window in windows]
        ).T
        ink = colour(number)
        for low, high, alpha in ((0, 4, 0.15), (1, 3, 0.25)):
            share = "80 %" if low == 0 else "50 %"
            plot.varea(
                x,
                levels[low],
                levels[high],
                color=ink,
                alpha=alpha,
                legend_label=_legend(runs, run, f"middle {share}"),
            )
        label = _legend(runs, run, "median")
        plot.line(x, levels[2], color=ink, line_width=2, legend_label=label)
        plot.scatter(x, levels[2], color=ink, size=4, legend_label=label)
    _finish(plot, "bottom_right")
    return plot


def entropy(runs: Sequence[Run]) -> figure | None:
    """How undecided the controllers are; `None` if no search has a controller.

    The mean of `-log_prob` over a batch estimates the entropy of the policy that proposed it.
    """
    plot = _plot("children", "nats for a decision")
    found = False
    for number, run in enumerate(runs):
        if not run.log_prob.any():
            continue
        found = True
        sizes = np.bincount(run.batch)
        means = -np.bincount(run.batch, run.log_prob)[sizes > 0] / sizes[sizes > 0]
        x, values = np.cumsum(sizes)[sizes > 0].astype(np.float32), means / run.num_decisions
        label = run.name if len(runs) > 1 else "mean of a batch"
        plot.line(x, values, color=colour(number), line_width=2, legend_label=label)
        if len(x) <= _WINDOWS:
            plot.scatter(x, values, color=colour(number), size=5, legend_label=label)
    if not found:
        return None
    _finish(plot, "bottom_left")
    return plot


def cost_chart(runs: Sequence[Run], cost: str, label: str) -> figure:
    """Reward against a cost of the children, with the Pareto front.

    Args:
        runs: The searches.
        cost: The name of the cost's array: `params` or `macs`.
        label: Of the axis.
    """
    plot = _plot(label, "reward", pick=True, x_axis_type="log")
    plot.y_range = reward_range(runs)
    plot.xaxis.ticker = LogTicker(mantissas=[1, 2, 5], desired_num_ticks=4)
    plot.xaxis.formatter = CustomJSTickFormatter(
        code="return new Intl.NumberFormat('en', {notation: 'compact'}).format(tick);"
    )
    for number, run in enumerate(runs):
        costs, ink = getattr(run, cost), colour(number)
        faint = max(0.05, min(0.6, 400 / len(run)))
        plot.scatter(
            "x",
            "reward",
            source=_child_source(run, number, costs.astype(np.float32)),
            size=5,
            color=ink,
            alpha=faint,
            nonselection_alpha=faint,
        )
        front = pareto_front(costs, run.reward)
        name = _legend(runs, run, "Pareto front")
        plot.step(
            costs[front],
            run.reward[front],
            mode="after",
            color=ink,
            line_width=2,
            legend_label=name,
        )
        plot.scatter(
            costs[front], run.reward[front], size=7, color=ink, marker="diamond", legend_label=name
        )
    _finish(plot, "bottom_right")
    return plot


def _legend(runs: Sequence[Run], run: Run, what: str) -> str:
    """Of several searches one entry each, which hides all of a search; of one what a line is."""
    return what if len(runs) == 1 else run.name


def _plot(
    x_label: str,
    y_label: str,
    *,
    pick: bool = False,
    x_axis_type: Literal["linear", "log"] = "linear",
) -> figure:
    plot = figure(
        height=320,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,wheel_zoom,reset,save",
        active_drag=None,  # So that a finger scrolls the page.
        active_scroll=None,
        x_axis_label=x_label,
        y_axis_label=y_label,
        x_axis_type=x_axis_type,
        background_fill_color=None,
        border_fill_color=None,
        output_backend="canvas",
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    if x_axis_type == "linear":
        plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    if pick:
        plot.add_tools(TapTool(), HoverTool(tooltips=[("child", "@child"), ("reward", "@reward")]))
    return plot


def _child_source(run: Run, number: int, x: np.ndarray) -> ColumnDataSource:
    """Points of children; a click on one shows it in the leaderboard."""
    source = ColumnDataSource(
        {
            "x": x,
            "reward": run.reward.astype(np.float32),
            "child": np.arange(len(run), dtype=np.int32),
        }
    )
    code = "if (cb_obj.indices.length) window.nasnetReport.select(run, cb_obj.indices[0]);"
    source.selected.js_on_change("indices", CustomJS(args={"run": number}, code=code))
    return source


def _finish(plot: figure, corner: Literal["bottom_left", "bottom_right"]) -> None:
    for legend in plot.legend:
        legend.location = corner
        legend.click_policy = "hide"
        legend.background_fill_alpha = 0.7
        legend.border_line_color = None
        legend.label_text_font_size = "12px"
        legend.spacing = 0


def _changes(values: np.ndarray) -> np.ndarray:
    """Returns the indices at which values change, with the first and the last one."""
    changed = np.flatnonzero(np.diff(values)) + 1
    return np.unique(np.concatenate([[0], changed, [len(values) - 1]]))
