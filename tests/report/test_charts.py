"""The numbers behind the plots."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.report.charts import moving_mean, score_range
from nasnet_jax.report.front import pareto_front
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
