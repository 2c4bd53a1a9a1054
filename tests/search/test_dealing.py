from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.search.dealing import deal

COSTS = st.lists(st.integers(1, 100), max_size=30)


@given(COSTS, st.integers(1, 8))
def test_every_child_is_dealt_once_in_full_rows_but_the_first(costs: list[int], width: int) -> None:
    rows = deal(costs, width)
    assert sorted(itertools.chain(*rows)) == list(range(len(costs)))
    assert all(len(row) == width for row in rows[1:])
    assert all(0 < len(row) <= width for row in rows)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 3))
def test_no_other_rows_end_earlier(costs: list[int], width: int) -> None:
    """Against every order of the children, dealt row by row."""

    def seconds(rows: list[list[int]]) -> int:
        return sum(max(costs[index] for index in row) for row in rows)

    best = min(
        seconds([list(order[start : start + width]) for start in range(0, len(order), width)])
        for order in itertools.permutations(range(len(costs)))
    )
    assert seconds(deal(costs, width)) <= best
