"""Regularized evolution: a tournament among the young.

Real et al., "Regularized Evolution for Image Classifier Architecture Search", 2019: a population
of the last P points. A parent is the best of S points drawn from it; its child differs in one
decision; every child that joins removes the oldest member, however good that was.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nasnet_jax.search import random_search, strategy

IDENTITY_SHARE = 0.05
"""Of the published mutations, the paper's: so often nothing changes."""

_PUBLISHED = ("input", "operation")
"""The kinds of decisions that the paper mutates."""


class EvolutionState(NamedTuple):
    """The population, as a ring in which the oldest member is the next to be overwritten.

    Attributes:
        decisions: int32 `[P, D]`.
        rewards: float32 `[P]`.
        observed: int32 `[]`, points observed so far; the population is full from P on.
        key_data: uint32, the raw data of the PRNG key of the next proposal.
    """

    decisions: jax.Array
    rewards: jax.Array
    observed: jax.Array
    key_data: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegularizedEvolution:
    """Aging evolution by mutation of single decisions.

    Any decision mutates with the same probability, since a strategy does not know what they mean; or,
    with `mutation="published"`, it is told their kinds and does as the paper: an operation or a hidden
    state mutates, each as often, rarely nothing, and a combiner never, as the paper's space has none.
    The points of one proposal descend from the population as it was when they were proposed.

    Attributes:
        choices: The number of alternatives of each of the D decisions.
        population_size: P (the paper's 100). Batches are drawn uniformly until so many points were
            observed.
        sample_size: S (the paper's 25), drawn with replacement.
        mutation: `decision` or `published`.
        kinds: What each decision is, `input`, `operation` or something else; for `published`.
    """

    choices: tuple[int, ...]
    population_size: int = 100
    sample_size: int = 25
    mutation: str = "decision"
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        strategy.check_choices(self.choices)
        if max(self.choices) < 2:
            raise ValueError("Evolution needs a decision with more than one choice to mutate.")
        if self.population_size < 1 or self.sample_size < 1:
            raise ValueError(
                "population_size and sample_size must be at least 1, got "
                f"{self.population_size} and {self.sample_size}."
            )
        if self.mutation not in ("decision", "published"):
            raise ValueError(
                f"strategy.mutation must be decision or published, got {self.mutation!r}."
            )
        if self.mutation == "published" and not all(self._mutable(kind) for kind in _PUBLISHED):
            raise ValueError(
                "strategy.mutation='published' needs decisions that are known to be inputs and "
                "operations, as those of the NASNet space; set it to 'decision'."
            )

    def _mutable(self, *kinds: str) -> list[int]:
        """The decisions that have another choice, of these kinds or, if there are none, of any."""
        return [
            index
            for index, count in enumerate(self.choices)
            if count > 1 and (not kinds or (self.kinds and self.kinds[index] in kinds))
        ]

    @functools.partial(jax.jit, static_argnames="self")
    def init(self, key: jax.Array) -> EvolutionState:
        """Returns an empty population."""
        return EvolutionState(
            decisions=jnp.zeros((self.population_size, len(self.choices)), jnp.int32),
            rewards=jnp.zeros(self.population_size, jnp.float32),
            observed=jnp.zeros((), jnp.int32),
            key_data=jax.random.key_data(key),
        )

    @functools.partial(jax.jit, static_argnames=("self", "n"))
    def propose(self, state: EvolutionState, n: int) -> tuple[EvolutionState, strategy.Proposal]:
        """Returns `n` mutated winners of tournaments, or uniform points at first."""
        key_data, key = strategy.next_key(state.key_data)
        uniform_key, tournament_key, mutation_key = jax.random.split(key, 3)

        contestants = jax.random.randint(
            tournament_key, (n, self.sample_size), 0, self.population_size
        )
        winners = jnp.argmax(state.rewards[contestants], axis=1)
        parents = state.decisions[contestants[jnp.arange(n), winners]]
        decisions = jnp.where(
            state.observed < self.population_size,
            random_search.uniform_decisions(uniform_key, self.choices, n),
            self.mutate(mutation_key, parents),
        )
        proposal = strategy.Proposal(decisions, jnp.zeros(decisions.shape, jnp.float32))
        return state._replace(key_data=key_data), proposal

    def recall(self, state: EvolutionState, decisions: jax.Array) -> strategy.Proposal:
        """Returns the points; there is no policy."""
        return strategy.Proposal(decisions, jnp.zeros(decisions.shape, jnp.float32))

    @functools.partial(jax.jit, static_argnames="self")
    def observe(
        self, state: EvolutionState, proposal: strategy.Proposal, rewards: jax.Array
    ) -> tuple[EvolutionState, dict[str, jax.Array]]:
        """Lets the points of a proposal join the population, in order."""
        strategy.check_rewards(proposal, rewards)
        n = rewards.shape[0]
        # Of a batch larger than the population only the youngest outlive the batch.
        kept = min(n, self.population_size)
        slots = (state.observed + jnp.arange(n - kept, n)) % self.population_size
        state = state._replace(
            decisions=state.decisions.at[slots].set(proposal.decisions[n - kept :]),
            rewards=state.rewards.at[slots].set(rewards[n - kept :].astype(jnp.float32)),
            observed=state.observed + n,
        )
        alive = jnp.arange(self.population_size) < state.observed
        metrics = {
            "population_best": jnp.max(state.rewards, where=alive, initial=-jnp.inf),
            "population_mean": jnp.mean(state.rewards, where=alive),
        }
        return state, metrics

    def mutate(self, key: jax.Array, parents: jax.Array) -> jax.Array:
        """Changes one decision of each parent, int32 `[n, D]`, to another of its choices.

        As published, a few parents stay as they are.
        """
        n = parents.shape[0]
        choices = jnp.array(self.choices, jnp.int32)
        which_key, value_key = jax.random.split(key)
        changes = jnp.ones(n, bool)
        if self.mutation == "published":
            of_kind = [self._mutable(kind) for kind in _PUBLISHED]
            # Each kind as often, however many decisions it has.
            shares = [1 / len(_PUBLISHED) / len(found) for found in of_kind for _ in found]
            mutable = jnp.array([index for found in of_kind for index in found], jnp.int32)
            which_key, none_key = jax.random.split(which_key)
            which = jax.random.choice(which_key, mutable, (n,), p=jnp.array(shares))
            changes = jax.random.uniform(none_key, (n,)) >= IDENTITY_SHARE
        else:
            which = jax.random.choice(which_key, jnp.array(self._mutable(), jnp.int32), (n,))
        # A turn of 1 to choices-1 steps round the circle reaches each other value equally.
        turn = jax.random.randint(value_key, (n,), 1, choices[which], jnp.int32)
        rows = jnp.arange(n)
        mutated = (parents[rows, which] + jnp.where(changes, turn, 0)) % choices[which]
        return parents.at[rows, which].set(mutated)
