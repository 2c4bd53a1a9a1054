"""The numbers behind the plots."""

from __future__ import annotations

import json

import numpy as np
from bokeh.models.annotations import Span
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.report.charts import cost_chart, moving_mean, score_range
from nasnet_jax.report.front import pareto_front
from nasnet_jax.report.page import render
from nasnet_jax.report.run import load_runs

POINTS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=20)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 40))
def test_the_moving_mean_is_the_mean_of_the_last(values: list[float], window: int) -> None:
    expected = [np.mean(values[max(0, end - window) : end]) for end in range(1, len(values) + 1)]
    np.testing.assert_allclose(moving_mean(np.array(values), window), expected, atol=1e-9)


@given(POINTS)
def test_the_pareto_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    cost, reward = np.array(points, float).T
    front = list(pareto_front(cost, reward))
    assert list(cost[front]) == sorted(set(cost[front]))
    for index in range(len(points)):
        # Whatever there is, something on the front is as cheap and as good.
        assert any(cost[f] <= cost[index] and reward[f] >= reward[index] for f in front)
        if index in front:
            better = (cost <= cost[index]) & (reward >= reward[index])
            better &= (cost < cost[index]) | (reward > reward[index])
            assert not better.any()


def test_diverged_children_do_not_squeeze_the_axis(make_workdir) -> None:
    runs = load_runs([make_workdir(60)])
    axis = score_range(runs, [runs[0].reward])
    assert 0.5 < axis.start < np.sort(runs[0].reward)[1]
    assert axis.end > runs[0].reward.max()


def test_targets_limits_and_references_are_drawn(make_workdir) -> None:
    folder = make_workdir(60)
    config = {
        "reward": {"cost": "macs", "target": 1_000_000},
        "limits": {"max_macs": 1_500_000, "max_params": 0},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    reference = {"name": "resnet", "accuracy": 0.8, "params": 90_000, "macs": 1_200_000}
    (folder / "references.json").write_text(json.dumps([reference]), encoding="utf-8")
    runs = load_runs([folder])
    lines = {
        cost: {span.location: span.line_dash for span in cost_chart(runs, cost, "").select(Span)}
        for cost in ("params", "macs")
    }
    assert set(lines["macs"]) == {1_000_000, 1_500_000} and not lines["params"]
    assert lines["macs"][1_000_000] != lines["macs"][1_500_000] == []
    sources = [glyph.data_source.data for glyph in cost_chart(runs, "macs", "").renderers]
    assert {"x": [1_200_000], "y": [0.8], "name": ["resnet"]} in [
        {key: value for key, value in data.items() if key in ("x", "y", "name")}
        for data in sources
        if "name" in data
    ]
    page = render(runs)
    assert all(word in page for word in ("target", "limit", "an architecture to compare with"))
