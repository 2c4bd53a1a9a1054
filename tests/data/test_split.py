from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.data.split import hold_out

pytestmark = pytest.mark.newest


@given(data=st.data(), num=st.integers(2, 300), seed=st.integers(0, 2**31))
def test_every_example_is_in_exactly_one_part(data: st.DataObject, num: int, seed: int) -> None:
    num_held_out = data.draw(st.integers(1, num - 1))
    kept, held_out = hold_out(num, num_held_out, seed=seed)
    assert len(held_out) == num_held_out
    assert sorted([*kept, *held_out]) == list(range(num))
    again = hold_out(num, num_held_out, seed=seed)
    np.testing.assert_array_equal(kept, again[0])
    np.testing.assert_array_equal(held_out, again[1])


def test_the_seed_decides_the_split() -> None:
    assert (hold_out(1000, 100, seed=0)[1] != hold_out(1000, 100, seed=1)[1]).any()


def test_held_out_examples_come_from_the_whole_range() -> None:
    """The mean of 5,000 of 50,000 is within five standard errors of the middle."""
    _, held_out = hold_out(50_000, 5_000, seed=0)
    assert abs(held_out.mean() - 25_000) < 5 * 50_000 / np.sqrt(12 * 5_000)


def test_batches_of_held_out_examples_are_mixed_where_the_data_is_sorted() -> None:
    """A hundred drawn of ten classes lack one of them once in 3,700 times."""
    labels = np.repeat(np.arange(10), 500)
    _, held_out = hold_out(len(labels), 1000, seed=0)
    for batch in labels[held_out].reshape(10, 100):
        assert len(np.unique(batch)) == 10


@pytest.mark.parametrize("num_held_out", [-1, 0, 10, 11])
def test_nothing_held_out_or_nothing_left_is_refused(num_held_out: int) -> None:
    with pytest.raises(ValueError, match=r"of 10 training images .* \(at most 9\)"):
        hold_out(10, num_held_out, seed=0)
