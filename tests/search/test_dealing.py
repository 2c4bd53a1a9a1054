from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.search.dealing import ahead, deal

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


def test_the_next_one_is_prepared_while_one_is_used() -> None:
    started: list[int] = []
    second = threading.Event()

    def prepare(number: int) -> int:
        started.append(number)
        if number == 1:
            second.set()
        return 10 * number

    results = ahead(prepare, range(4))
    assert next(results) == 0
    assert second.wait(timeout=10)
    assert list(results) == [10, 20, 30]
    assert started == [0, 1, 2, 3]
    assert list(ahead(prepare, [])) == []


def test_what_preparing_raises_is_raised_where_it_is_used() -> None:
    results = ahead(lambda number: 1 // number, [1, 0])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
