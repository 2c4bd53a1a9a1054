"""The plots of the report, by Bokeh; several searches share each plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    HoverTool,
    LogTicker,
    NoOverlap,
    NumeralTickFormatter,
    Range1d,
    TapTool,
)
from bokeh.models.annotations import Span
from bokeh.models.renderers import DataRenderer, GlyphRenderer
from bokeh.plotting import figure

from nasnet_jax.report.front import pareto_front
from nasnet_jax.report.run import STATUSES, Run
from nasnet_jax.space.decisions import choices

COLOURS = ("#3b82c4", "#e07b39", "#3fa66b", "#b65fc2", "#c9a227", "#d9567a", "#5b6ee1", "#6b7280")
"""Of the searches; each is seen on a light and on a dark ground."""

_MEAN_SHARE = 20
"""The moving mean goes over this fraction of a search's children."""

_WINDOWS = 40
"""The distribution is shown in at most so many windows of time."""

_REWARD, _ACCURACY = "reward", "held-out accuracy"

HALO, CHILDREN, CHOSEN = "halo", "children", "chosen"
"""Tags by which the page finds what it colours, hides and moves: what lies under a line in the colour
of the page, so that the line is seen among its points; the points; the ring around one of them."""

_COMPACT = "return new Intl.NumberFormat('en', {notation: 'compact'}).format(tick);"

# As many decimals as tell the ticks apart: 0.70 beside 0.75.
_DECIMALS = """
const step = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : 1;
return tick.toFixed(Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
"""


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


def score_range(runs: Sequence[Run], scores: Sequence[np.ndarray]) -> Range1d:
    """The axis of rewards or accuracies.

    It shows all but the diverged children and the worst few, who would squeeze it.

    Args:
        runs: The searches.
        scores: Of the children of each.
    """
    kept = np.concatenate(
        [
            score[run.status != STATUSES.index("diverged")]
            for run, score in zip(runs, scores, strict=True)
        ]
    )
    if not len(kept):
        return Range1d(start=0.0, end=1.0)
    low, high = np.quantile(kept, 0.005, method="lower"), kept.max()
    room = max(0.05 * (high - low), 0.001)
    return Range1d(start=float(low - room), end=float(high + room))


def search_curve(runs: Sequence[Run]) -> figure:
    """Every reward, the best so far and a moving mean, against the mean of the first batch."""
    plot = _plot("children", _REWARD, height=380)
    rewards = [run.reward for run in runs]
    plot.y_range = score_range(runs, rewards)
    xs = [np.arange(1, len(run) + 1, dtype=np.float32) for run in runs]
    _children(plot, runs, xs, rewards, _REWARD)
    for number, run in enumerate(runs):
        x = xs[number]
        random = float(run.reward[run.batch == 0].mean())
        _line(plot, number, [1, len(run)], [random, random], width=2, dash="dotted")
        best = np.maximum.accumulate(run.reward)
        steps = _changes(best)
        _line(plot, number, x[steps], best[steps], width=2, dash="dashed", stepped=True)
        window = mean_window(len(run))
        mean = moving_mean(run.reward, window).astype(np.float32)
        # Not from the first child on, where the mean of a few would jump about.
        _line(plot, number, x[window // 5 :], mean[window // 5 :], width=3)
    return plot


def distribution(runs: Sequence[Run]) -> figure:
    """The median and the middle 50 and 80 % of the rewards in windows of time."""
    plot = _plot("children", _REWARD)
    for number, run in enumerate(runs):
        windows = np.array_split(np.arange(len(run)), min(_WINDOWS, max(len(run) // 10, 1)))
        x = [window.mean() + 1 for window in windows]
        levels = np.array(
            [np.quantile(run.reward[window], [0.1, 0.25, 0.5, 0.75, 0.9]) for window in windows]
        ).T
        for low, high, alpha in ((0, 4, 0.15), (1, 3, 0.25)):
            area = plot.varea(x, levels[low], levels[high], color=colour(number), alpha=alpha)
            area.tags = [number]
        _line(plot, number, x, levels[2], width=2, marked=True)
    return plot


def entropy(runs: Sequence[Run]) -> figure | None:
    """How undecided the controllers are; `None` if no search has a controller.

    The mean of `-log_prob` over a batch estimates the entropy of the policy that proposed it. Dotted
    is the entropy of a policy to which all architectures are equally likely.
    """
    plot = _plot("children", "nats per decision")
    found = False
    for number, run in enumerate(runs):
        if not run.log_prob.any():
            continue
        found = True
        sizes = np.bincount(run.batch)
        means = -np.bincount(run.batch, run.log_prob)[sizes > 0] / sizes[sizes > 0]
        x, values = np.cumsum(sizes)[sizes > 0].astype(np.float32), means / run.num_decisions
        uniform = float(np.log(choices(run.architecture(0).num_blocks)).mean())
        _line(plot, number, [1, len(run)], [uniform, uniform], width=2, dash="dotted")
        _line(plot, number, x, values, width=2, marked=len(x) <= _WINDOWS)
    return plot if found else None


def cost_chart(runs: Sequence[Run], cost: str, label: str) -> figure:
    """Accuracy against a cost of the children, with the Pareto front, the target and the limit.

    Args:
        runs: The searches.
        cost: The name of the cost's array: `params` or `macs`.
        label: Of the axis.
    """
    plot = _plot(label, _ACCURACY, x_axis_type="log")
    accuracies = [run.accuracy for run in runs]
    plot.y_range = score_range(runs, accuracies)
    plot.xaxis.ticker = LogTicker(mantissas=[1, 2, 5], desired_num_ticks=4)
    plot.xaxis.formatter = CustomJSTickFormatter(code=_COMPACT)
    xs = [getattr(run, cost).astype(np.float32) for run in runs]
    _children(plot, runs, xs, accuracies, "accuracy")
    for number, run in enumerate(runs):
        costs, accuracy = getattr(run, cost)[run.is_whole], run.accuracy[run.is_whole]
        front = pareto_front(costs, accuracy)
        _line(plot, number, costs[front], accuracy[front], width=2, stepped=True, marked=True)
        _references(plot, run, number, cost)
        target, limit = run.bounds(cost)
        if target:
            _bound(plot, number, target, "dotted")
        if limit:
            _bound(plot, number, limit, "solid")
    return plot


def _plot(
    x_label: str,
    y_label: str,
    *,
    height: int = 320,
    x_axis_type: Literal["linear", "log"] = "linear",
) -> figure:
    plot = figure(
        height=height,
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
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.minor_tick_line_color = None
    plot.xaxis.major_label_policy = NoOverlap(min_distance=8)
    plot.yaxis.formatter = CustomJSTickFormatter(code=_DECIMALS)
    if x_axis_type == "linear":
        plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    return plot


def _references(plot: figure, run: Run, number: int, cost: str) -> None:
    """Adds the architectures that a search trained to compare with, by their names."""
    if not run.references:
        return
    columns = {
        "x": [one[cost] for one in run.references],
        "y": [one["accuracy"] for one in run.references],
        "name": [one["name"] for one in run.references],
    }
    source = ColumnDataSource(columns)
    marks = plot.scatter("x", "y", source=source, marker="diamond", size=12, color=colour(number))
    marks.glyph.update(line_color="black")
    marks.tags = [number]
    names = plot.text(
        "x",
        "y",
        text="name",
        source=source,
        x_offset=8,
        y_offset=-4,
        text_font_size="12px",
        text_color=colour(number),
    )
    names.tags = [number]


def _bound(plot: figure, number: int, bound: int, dash: Literal["solid", "dotted"]) -> None:
    """Adds an upright line at a target or limit of one search."""
    line = Span(location=bound, dimension="height", line_color=colour(number), line_width=2)
    line.update(line_dash=dash, level="underlay", tags=[number])
    plot.add_layout(line)


def _children(
    plot: figure,
    runs: Sequence[Run],
    xs: Sequence[np.ndarray],
    ys: Sequence[np.ndarray],
    word: str,
) -> None:
    """Adds a point for each child, and a ring that the page puts around the one it shows.

    A click on a point shows its child.

    Args:
        plot: To which they are added.
        runs: The searches.
        xs: For each search, where its children lie.
        ys: The same.
        word: What `ys` are.
    """
    rings = plot.scatter("x", "y", source=ColumnDataSource({"x": [], "y": []}), size=13)
    rings.glyph.update(fill_color=None, line_color="black", line_width=2.5)
    rings.update(level="overlay", tags=[CHOSEN])
    points: list[DataRenderer] = []
    for number, (run, x, y) in enumerate(zip(runs, xs, ys, strict=True)):
        source = ColumnDataSource({"x": x, "y": y.astype(np.float32)})
        code = "if (cb_obj.indices.length) window.nasnetReport.select(run, cb_obj.indices[0]);"
        source.selected.js_on_change("indices", CustomJS(args={"run": number}, code=code))
        alpha = max(0.12, min(0.6, 400 / len(run)))
        points.append(
            plot.scatter(
                "x",
                "y",
                source=source,
                size=5 if len(run) <= 2_000 else 3,
                color=colour(number),
                line_color=None,
                alpha=alpha,
                nonselection_alpha=alpha,
                name=run.name,
            )
        )
        points[-1].tags = [number, CHILDREN]
    # A child's index is its number. Where points lie close, one of them is enough.
    tips = [("child", "$index{0,0}"), (word, "@y{0.0000}")]
    if len(runs) > 1:
        tips.insert(0, ("search", "$name"))
    plot.add_tools(TapTool(renderers=points), HoverTool(renderers=points, tooltips=tips, limit=1))


def _line(
    plot: figure,
    number: int,
    x: Any,
    y: Any,
    *,
    width: int,
    dash: Literal["solid", "dashed", "dotted"] = "solid",
    stepped: bool = False,
    marked: bool = False,
) -> None:
    """Adds a line of one search over a halo."""
    source = ColumnDataSource({"x": x, "y": y})
    style: dict[str, Any] = {"source": source, "line_join": "round"}
    add: Callable[..., GlyphRenderer[Any]] = plot.line
    if stepped:
        style["mode"] = "after"
        add = plot.step
    halo = add("x", "y", color="white", line_width=width + 3, **style)
    halo.tags = [number, HALO]
    line = add("x", "y", color=colour(number), line_width=width, line_dash=dash, **style)
    line.tags = [number]
    if marked:
        marks = plot.scatter("x", "y", source=source, size=6, color=colour(number), line_color=None)
        marks.tags = [number]


def _changes(values: np.ndarray) -> np.ndarray:
    """Returns the indices at which values change, with the first and the last one."""
    changed = np.flatnonzero(np.diff(values)) + 1
    return np.unique(np.concatenate([[0], changed, [len(values) - 1]]))
