"""What every search strategy is: pure functions over a pytree, blind to what they search.

A strategy sees a point of the search space as a row of decisions: `decisions[d]` is one of
`choices[d]` numbered alternatives. It proposes rows and is told their rewards::

    strategy = make_strategy(config.strategy, choices)
    state = strategy.init(jax.random.key(0))
    state, proposal = strategy.propose(state, 20)             # proposal.decisions: int32 [20, D]
    rewards = train(proposal.decisions)                       # float32 [20]
    state, metrics = strategy.observe(state, proposal, rewards)

Nothing is hidden: all that a strategy remembers, its random key included, is in `state`, a pytree
of plain arrays that a checkpoint can hold. Random keys are stored as their raw data (`uint32`),
because a typed key is no ordinary array to a checkpoint; `next_key` wraps them again.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax


class Proposal(NamedTuple):
    """A batch of proposed points, and what the strategy wants back with their rewards.

    Attributes:
        decisions: int32 `[n, D]`, `0 <= decisions[:, d] < choices[d]`.
        log_probs: float32 `[n, D]`, the log-probability of each decision, given those before it,
            under the policy that proposed it; zeros from a strategy that has no policy.
    """

    decisions: jax.Array
    log_probs: jax.Array


class Strategy(Protocol):
    """The interface of a strategy. Implementations are frozen dataclasses, hence hashable.

    `init`, `propose` and `observe` are jitted with the strategy itself as a static argument, so
    each compiles once for a given number of points, however many (equal) instances are made.
    """

    @property
    def choices(self) -> tuple[int, ...]:
        """The number of alternatives of each of the D decisions."""

    def init(self, key: jax.Array) -> Any:
        """Returns the state before anything is observed, from a typed PRNG key."""

    def propose(self, state: Any, n: int) -> tuple[Any, Proposal]:
        """Returns the next state and `n` points; duplicates among them are possible."""

    def recall(self, state: Any, decisions: jax.Array) -> Proposal:
        """Returns points of another search, int32 `[n, D]`, as if this state had proposed them."""

    def observe(
        self, state: Any, proposal: Proposal, rewards: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Learns from the rewards of a proposal.

        Args:
            state: The state after that proposal was made.
            proposal: What `propose` returned, unchanged.
            rewards: float32 `[n]`, finite; higher is better.

        Returns:
            The next state, and scalar metrics by name.
        """


def next_key(key_data: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Splits a stored key: returns the data to store next, and a typed key to use now."""
    carried, key = jax.random.split(jax.random.wrap_key_data(key_data))
    return jax.random.key_data(carried), key


def check_choices(choices: tuple[int, ...]) -> None:
    """Raises ValueError unless `choices` is a non-empty tuple of positive numbers."""
    if not choices or any(count < 1 for count in choices):
        raise ValueError(
            f"choices must hold at least one decision of at least one choice each, got {choices}."
        )


def check_rewards(proposal: Proposal, rewards: jax.Array) -> None:
    """Raises ValueError unless there is one reward for each proposed point (shapes only)."""
    expected = proposal.decisions.shape[:1]
    if rewards.shape != expected:
        raise ValueError(
            f"One reward is needed for each of the {expected[0]} proposed points: "
            f"rewards must have shape {expected}, got {rewards.shape}."
        )
