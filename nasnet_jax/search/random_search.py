"""Random search: every choice equally likely, always. The baseline that is hard to beat."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nasnet_jax.search import strategy


class RandomSearchState(NamedTuple):
    """`key_data`: the raw data, uint32, of the PRNG key of the next proposal."""

    key_data: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomSearch:
    """Draws every decision uniformly and learns nothing (paper, section 4.4).

    Attributes:
        choices: The number of alternatives of each of the D decisions.
    """

    choices: tuple[int, ...]

    def __post_init__(self) -> None:
        strategy.check_choices(self.choices)

    @functools.partial(jax.jit, static_argnames="self")
    def init(self, key: jax.Array) -> RandomSearchState:
        """Returns the first state."""
        return RandomSearchState(jax.random.key_data(key))

    @functools.partial(jax.jit, static_argnames=("self", "n"))
    def propose(
        self, state: RandomSearchState, n: int
    ) -> tuple[RandomSearchState, strategy.Proposal]:
        """Returns `n` uniform points."""
        key_data, key = strategy.next_key(state.key_data)
        state = RandomSearchState(key_data)
        return state, self.recall(state, uniform_decisions(key, self.choices, n))

    def recall(self, state: RandomSearchState, decisions: jax.Array) -> strategy.Proposal:
        """Returns the points with their probability under the uniform policy."""
        log_probs = -jnp.log(jnp.array(self.choices, jnp.float32))
        return strategy.Proposal(decisions, jnp.broadcast_to(log_probs, decisions.shape))

    @functools.partial(jax.jit, static_argnames="self")
    def observe(
        self, state: RandomSearchState, proposal: strategy.Proposal, rewards: jax.Array
    ) -> tuple[RandomSearchState, dict[str, jax.Array]]:
        """Returns the state as it was."""
        strategy.check_rewards(proposal, rewards)
        return state, {}


def uniform_decisions(key: jax.Array, choices: tuple[int, ...], n: int) -> jax.Array:
    """Returns decisions, int32 `[n, D]`, each uniform over its choices and independent."""
    return jax.random.randint(key, (n, len(choices)), 0, jnp.array(choices, jnp.int32), jnp.int32)
