from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.space import (
    Architecture,
    canonical_decisions,
    choices,
    sample_architecture,
    space_size,
)
from nasnet_jax.space.decisions import check_decisions


def test_the_papers_space_has_fifty_decisions():
    assert len(choices()) == 50
    assert choices()[:5] == (2, 2, 13, 13, 2)
    assert choices()[45:] == (6, 6, 13, 13, 2)


def test_space_size_is_the_closed_form():
    # Block k of a cell: (k + 2)^2 input pairs, 13^2 operation pairs, 2 combiners.
    cell = (2 * 3 * 4 * 5 * 6) ** 2 * (2 * 13**2) ** 5
    assert space_size(5) == cell**2
    assert f"{cell:.2e}" == "2.29e+18"
    assert space_size(1) == (4 * 169 * 2) ** 2


@pytest.mark.parametrize("num_blocks", [0, -1])
def test_a_cell_without_blocks_is_refused(num_blocks):
    with pytest.raises(ValueError, match="at least one block"):
        choices(num_blocks)


@given(seed=st.integers(0, 2**32 - 1), num_blocks=st.integers(2, 7))
def test_vectorised_canonical_form_is_that_of_the_architectures(seed, num_blocks):
    rng = np.random.default_rng(seed)
    decisions = np.stack([sample_architecture(rng, num_blocks).decisions() for _ in range(4)])
    expected = [
        Architecture.from_decisions(row).canonical().decisions().tolist() for row in decisions
    ]
    result = canonical_decisions(decisions)
    assert result.dtype == np.int32
    assert result.tolist() == expected
    assert canonical_decisions(decisions[0]).tolist() == expected[0]


def test_canonical_decisions_of_one_block_for_all_orders():
    for left, right, combine in itertools.product(range(2), range(2), range(2)):
        block = [left, right, 4, 9, combine]
        result = canonical_decisions([block + [0, 0, 0, 0, 0]])[0, :5].tolist()
        swaps = combine == 0 and left > right
        assert result == ([right, left, 9, 4, combine] if swaps else block)


@given(data=st.data(), num_blocks=st.integers(2, 7))
def test_a_wrong_decision_is_named_with_its_place(data, num_blocks):
    limits = choices(num_blocks)
    index = data.draw(st.integers(0, len(limits) - 1))
    decisions = np.zeros(len(limits), np.int32)
    decisions[index] = data.draw(st.sampled_from([-1, limits[index], 99]))
    cell, rest = divmod(index, 5 * num_blocks)
    place = f"{('normal', 'reduction')[cell]} cell, block {rest // 5 + 1}: "
    with pytest.raises(ValueError) as error:
        Architecture.from_decisions(decisions)
    message = str(error.value)
    assert message.startswith(place)
    assert f"decision {index})" in message
    assert f"0 to {limits[index] - 1} are allowed" in message


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        (np.zeros(49, np.int32), r"multiple of 10.*\(49,\)"),
        (np.zeros(0, np.int32), "multiple of 10"),
        (np.zeros((2, 50), np.int32), r"\(2, 50\)"),
        (np.zeros(50), "integers.*float64"),
    ],
)
def test_wrong_shape_or_type_is_refused(decisions, message):
    with pytest.raises(ValueError, match=message):
        check_decisions(decisions)
