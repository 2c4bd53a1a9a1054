"""Limits that are obeyed, and what an accuracy is worth."""

from __future__ import annotations

from pathlib import Path

import jax
import ml_collections
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasnet_jax.search.budget import COSTS, FORMS, Budget, make_budget
from nasnet_jax.search.config import check_config, default_config
from nasnet_jax.search.proposing import draw
from nasnet_jax.search.random_search import RandomSearch
from nasnet_jax.space import Architecture, Macro, choices, cost
from nasnet_jax.space.smallest import smallest_architecture

BLOCKS = 2
MACRO = Macro(num_cells=1, num_filters=4, num_classes=10, image_size=8, uniform_inputs=True)
ROOT = Path(__file__).resolve().parents[2]


def changed(**fields: object) -> ml_collections.ConfigDict:
    config = default_config()
    config.update_from_flattened_dict({name.replace("__", "."): fields[name] for name in fields})
    return config


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shares=st.tuples(st.sampled_from((0.1, 0.5, 0.9, None)), st.sampled_from((0.2, 0.7, None))),
    n=st.integers(1, 7),
)
def test_nothing_above_a_limit_is_drawn(
    seed: int, shares: tuple[float | None, float | None], n: int
) -> None:
    strategy = RandomSearch(choices=choices(BLOCKS))
    state = strategy.init(jax.random.key(seed))
    rows = np.asarray(strategy.propose(state, 30)[1].decisions)
    costs = [cost(Architecture.from_decisions(row), MACRO) for row in rows]
    # So that of what is drawn such a share is within the limit.
    most = [
        0 if share is None else int(np.quantile([getattr(one, name) for one in costs], share))
        for name, share in zip(COSTS, shares, strict=True)
    ]
    smallest = cost(smallest_architecture(BLOCKS), MACRO)
    limits = tuple(
        max(limit, getattr(smallest, name)) if limit else 0
        for name, limit in zip(COSTS, most, strict=True)
    )
    drawn = draw(strategy, state, n, Budget(macro=MACRO, limits=limits).allowed)
    assert drawn.proposal.decisions.shape == (n, len(choices(BLOCKS)))
    for row in np.asarray(drawn.proposal.decisions):
        found = cost(Architecture.from_decisions(row), MACRO)
        for name, limit in zip(COSTS, limits, strict=True):
            assert not limit or getattr(found, name) <= limit
    if not any(limits):
        assert drawn.refused == 0
        np.testing.assert_array_equal(
            drawn.proposal.decisions, strategy.propose(state, n)[1].decisions
        )


@given(
    form=st.sampled_from(sorted(FORMS)),
    accuracy=st.floats(0, 1),
    cost_name=st.sampled_from(COSTS),
    factor=st.floats(0.2, 5),
    weight=st.floats(-2, -0.01),
)
def test_rewards_fall_with_the_cost_above_the_target(
    form: str, accuracy: float, cost_name: str, factor: float, weight: float
) -> None:
    counted = cost(smallest_architecture(BLOCKS), MACRO)
    amount = getattr(counted, cost_name)

    def reward(target: float) -> float:
        budget = Budget(macro=MACRO, cost_name=cost_name, target=target, form=form, weight=weight)
        return budget.reward(accuracy, counted)

    assert reward(amount) == accuracy
    ratio = amount / max(int(amount / factor), 1)
    expected = {
        "absolute": accuracy - abs(weight) * abs(ratio - 1),
        "power": accuracy / ratio ** abs(weight),
    }
    found = reward(max(int(amount / factor), 1))
    assert found == pytest.approx(expected[form], rel=1e-9, abs=1e-12)
    if ratio > 1:
        assert found <= accuracy
    assert Budget(macro=MACRO).reward(accuracy, counted) == accuracy


def test_a_limit_that_nothing_meets_is_refused_with_the_least() -> None:
    least = cost(smallest_architecture(BLOCKS), MACRO)
    for name in COSTS:
        amount = getattr(least, name)
        config = changed(num_blocks=BLOCKS, **{f"limits__max_{name}": amount - 1})
        with pytest.raises(ValueError, match=f"limits.max_{name} is .* fewer than {amount:,} in"):
            make_budget(config, MACRO)
        config.limits[f"max_{name}"] = amount
        assert make_budget(config, MACRO).meets(least)


def test_the_network_that_is_meant_is_counted() -> None:
    mobile = str(ROOT / "configs" / "imagenet_mobile.py")
    for name in (mobile, f"{mobile}:released", "imagenet_mobile"):
        budget = make_budget(changed(reward__network=name), MACRO)
        assert (budget.macro.num_cells, budget.macro.num_filters) == (4, 44)
        assert budget.macro.image_height_width == (224, 224)
    with pytest.raises(ValueError, match=r"reward.network is neither .*no configuration 'mobile'"):
        make_budget(changed(reward__network="mobile"), MACRO)
    with pytest.raises(
        FileNotFoundError, match=r"reward.network is 'gone.py': neither 'child' nor"
    ):
        make_budget(changed(reward__network="gone.py"), MACRO)
    search = str(ROOT / "configs" / "quickstart.py")
    with pytest.raises(ValueError, match="no configuration of a training"):
        make_budget(changed(reward__network=search), MACRO)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reward__cost": "flops"}, "reward.cost must be one of empty, params, macs"),
        ({"reward__form": "soft"}, "reward.form must be one of absolute, power"),
        ({"reward__cost": "macs"}, "there is no reward.target"),
        ({"reward__target": 5}, "reward.target is of no cost"),
        ({"reward__weight": 0.1}, "reward.weight must be"),
        ({"limits__max_macs": -1}, "limits.max_macs must be"),
    ],
)
def test_fields_that_do_not_fit_are_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_config(changed(**fields))


def test_limits_that_are_hardly_ever_met_are_an_error() -> None:
    strategy = RandomSearch(choices=choices(BLOCKS))
    state = strategy.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"Of 2,000 architectures .* only 0 are within"):
        draw(strategy, state, 2, lambda rows: np.zeros(len(rows), bool))
