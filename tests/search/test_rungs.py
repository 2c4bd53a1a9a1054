"""Rungs: what they may be, and what they spare."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.search.config import check_config, default_config
from nasnet_jax.search.rungs import epochs_of_rungs, survivors


@pytest.mark.parametrize("rungs", [(0,), (20,), (3, 3), (5, 2), (1.5,), (True,), ("2",)])
def test_rungs_rise_within_the_training(rungs: tuple[object, ...]) -> None:
    config = default_config()
    config.halving.rungs = (1, 19)
    check_config(config)
    config.halving.rungs = rungs
    with pytest.raises(ValueError, match=r"halving.rungs must be rising .* child.epochs \(20\)"):
        check_config(config)


@given(
    count=st.integers(1, 300),
    keep=st.floats(0.01, 0.99),
    rungs=st.sets(st.integers(1, 9), max_size=4).map(sorted),
)
def test_less_is_trained_with_every_rung_and_somebody_is_left(
    count: int, keep: float, rungs: list[int]
) -> None:
    assert 1 <= survivors(count, keep) <= count
    together = epochs_of_rungs(count, 10, rungs, keep)
    assert len(together) == len(rungs) + 1
    assert count * min([*rungs, 10]) <= sum(together) <= count * 10
    if rungs and survivors(count, keep) < count:
        assert sum(together) < count * 10
