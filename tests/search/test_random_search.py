from __future__ import annotations

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nasnet_jax.search.random_search import RandomSearch


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5).map(tuple))
def test_every_choice_is_valid_and_equally_likely(choices: tuple[int, ...]) -> None:
    n = 3000
    method = RandomSearch(choices=choices)
    _, proposal = method.propose(method.init(jax.random.key(0)), n)
    decisions = np.asarray(proposal.decisions)
    assert decisions.dtype == np.int32
    for d, count in enumerate(choices):
        shares = np.bincount(decisions[:, d], minlength=count) / n
        assert len(shares) == count
        assert (np.abs(shares - 1 / count) <= 6 * np.sqrt(1 / count * (1 - 1 / count) / n)).all()
    np.testing.assert_allclose(
        proposal.log_probs, np.broadcast_to(-np.log(choices), (n, len(choices))), atol=1e-6
    )


def test_decisions_are_independent() -> None:
    method = RandomSearch(choices=(2, 2))
    _, proposal = method.propose(method.init(jax.random.key(0)), 4000)
    agree = (proposal.decisions[:, 0] == proposal.decisions[:, 1]).mean()
    assert abs(agree - 0.5) < 0.05


def test_rewards_change_nothing() -> None:
    method = RandomSearch(choices=(3, 3))
    state, proposal = method.propose(method.init(jax.random.key(0)), 4)
    after, metrics = method.observe(state, proposal, np.ones(4, np.float32))
    np.testing.assert_array_equal(after.key_data, state.key_data)
    assert metrics == {}
