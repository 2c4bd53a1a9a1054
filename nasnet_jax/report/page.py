"""The report: one HTML file that holds everything it shows and asks no server for anything."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
from bokeh.core.types import ID
from bokeh.embed import json_item
from bokeh.resources import Resources
from markupsafe import Markup

from nasnet_jax.paths import local_path
from nasnet_jax.report import charts, packing, palette
from nasnet_jax.report.run import STATUSES, Run, load_runs
from nasnet_jax.run_files import REPORT_FILE
from nasnet_jax.space.decisions import CELL_KINDS
from nasnet_jax.space.operations import COMBINERS, LABELS, OPERATIONS
from nasnet_jax.space.serialization import write_atomically

_SCRIPTS = ("architecture.js", "cell.js", "table.js", "main.js")


def write_report(
    *workdirs: str | os.PathLike[str], output: str | os.PathLike[str] | None = None
) -> pathlib.Path:
    """Writes the report of one search, or one that compares several.

    Args:
        *workdirs: Folders of searches, finished or under way.
        output: The file to write; by default `report.html` in the first folder.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If a folder has no history of a search.
        ValueError: If a history is empty or damaged, or there is no folder.
    """
    runs = load_runs(workdirs)
    target = local_path(output) if output is not None else runs[0].path / REPORT_FILE
    write_atomically(target, render(runs))
    return target.absolute()


def render(runs: Sequence[Run]) -> str:
    """Returns the report of searches as an HTML document."""
    plots = {
        "search": charts.search_curve(runs),
        "distribution": charts.distribution(runs),
        "params": charts.cost_chart(runs, "params", "trainable parameters"),
        "macs": charts.cost_chart(runs, "macs", "multiply-adds for one image"),
    }
    entropy = charts.entropy(runs)
    if entropy is not None:
        plots["entropy"] = entropy
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nasnet_jax.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def source(name: str) -> Markup:
        assert environment.loader is not None
        # Our own file, to be taken as it is.
        return Markup(environment.loader.get_source(environment, name)[0])

    return environment.get_template("report.html.jinja").render(
        title=" and ".join(run.name for run in runs),
        written=datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        finished=all(run.summary.get("finished") for run in runs),
        windows={f"{charts.mean_window(len(run)):,}" for run in runs},
        bounds=_bounds(runs),
        settings=_settings(runs),
        least=f"{min(run.params.min() for run in runs):,}",
        most=f"{max(run.params.max() for run in runs):,}",
        runs=[_facts(run, number) for number, run in enumerate(runs)],
        operations=[(name, LABELS[name]) for name in OPERATIONS],
        style=source("report.css"),
        # In the installed package of Bokeh, read when a report is written.
        bokeh=[Markup(text) for text in Resources(mode="inline", components=["bokeh"]).js_raw],
        data=_json(_data(runs)),
        script=Markup("\n").join(map(source, _SCRIPTS)),
        plots=list(plots),
        plot_data=_json(
            {name: json_item(plot, ID(f"plot-{name}")) for name, plot in plots.items()}
        ),
    )


def _facts(run: Run, number: int) -> dict[str, Any]:
    """What the table of searches says of one of them."""
    distinct = run.status != STATUSES.index("reused")
    top = np.sort(run.reward[distinct])[::-1]
    best = run.best
    rerank = run.rerank_reward[best]
    rate = run.summary.get("children_per_hour")
    return {
        "name": run.name,
        "colour": charts.colour(number),
        "strategy": run.strategy,
        "children": f"{len(run):,}",
        "repeated": f"{int((run.status == STATUSES.index('reused')).sum()):,}",
        "diverged": f"{int((run.status == STATUSES.index('diverged')).sum()):,}",
        "first": f"{run.reward[run.batch == 0].mean():.4f}",
        "last": f"{charts.moving_mean(run.reward, charts.mean_window(len(run)))[-1]:.4f}",
        "best": f"{top[0]:.4f}",
        "top_5": f"{top[:5].mean():.4f}",
        "top_25": f"{top[:25].mean():.4f}",
        "rerank": "\N{EN DASH}" if np.isnan(rerank) else f"{rerank:.4f}",
        "rate": "\N{EN DASH}" if rate is None else f"{rate:,.0f}",
    }


def _bounds(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """What the upright lines and the diamonds in the plots of costs are, of those that there are."""
    bounds = [run.bounds(cost) for run in runs for cost in ("params", "macs")]
    entries = [("diamond", "an architecture to compare with")] * any(run.references for run in runs)
    if any(target for target, _ in bounds):
        entries.append(("upright dotted", "target"))
    if any(limit for _, limit in bounds):
        entries.append(("upright", "limit"))
    return entries


def _settings(runs: Sequence[Run]) -> list[tuple[str, list[str], bool]]:
    """Name, values and whether they differ, of each field of the configurations; those first."""
    configs = [dict(_flat(run.config)) for run in runs]
    fields = dict.fromkeys(field for config in configs for field in config)
    rows = []
    for field in fields:
        values = [config.get(field, "\N{EN DASH}") for config in configs]
        rows.append((field, values, len(set(values)) > 1))
    return sorted(rows, key=lambda row: not row[2])


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, json.dumps(value).strip('"')


def _data(runs: Sequence[Run]) -> dict[str, Any]:
    """What the script needs; arrays are bytes in base64."""
    boxes = palette.operation_boxes()
    return {
        "cellKinds": CELL_KINDS,
        "columnSteps": packing.COLUMN_STEPS,
        "operations": [
            {"name": name, "label": label, "fill": fill}
            for name, (label, fill) in zip(OPERATIONS, boxes, strict=True)
        ],
        "combiners": [{"name": name, "sign": LABELS[name]} for name in COMBINERS],
        "fills": dict(palette.FAMILIES),
        "statuses": STATUSES,
        "runs": [_run_data(run, number) for number, run in enumerate(runs)],
    }


def _run_data(run: Run, number: int) -> dict[str, Any]:
    packed = [packing.pack_architecture(line) for line in run.architectures]
    return {
        "name": run.name,
        "colour": charts.colour(number),
        "children": len(run),
        "best": run.best,
        "decisions": packing.to_base64(np.frombuffer(b"".join(d for d, _ in packed), np.uint8)),
        "layouts": packing.to_base64(np.frombuffer(b"".join(p for _, p in packed), np.uint8)),
        "batch": packing.to_base64(run.batch),
        "reward": packing.to_base64(run.reward),
        "accuracy": packing.to_base64(run.accuracy),
        "rerank": packing.to_base64(run.rerank_reward),
        "params": packing.to_base64(run.params.astype(np.float64)),
        "macs": packing.to_base64(run.macs.astype(np.float64)),
        "status": packing.to_base64(run.status),
    }


def _json(data: dict[str, Any]) -> Markup:
    # Inside a script element only a "<" could end it.
    return Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))
