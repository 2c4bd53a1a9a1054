"""PPO and REINFORCE: the controller learns to propose what was rewarded.

From the paper (section 4.4 and appendix A.2): PPO, minibatches of 20 architectures, learning rate
0.00035, entropy weight 0.00001, and as baseline an exponential moving average of past rewards with
weight 0.95. It does not state the rest, which is ours: Adam, the clip of 0.2 on the ratio of
each single decision, the number of epochs, optional clipping of the gradient's norm, and how the
baseline starts (with the mean of the first batch) and moves (see `PolicyGradient.observe`).

That learning rate belongs to a search of 20,000 children, which is 1,000 minibatches. A search of
300 children has 15, in which a controller at 0.00035 stays almost uniform. Give short searches a
larger one. With the share of one operation in the NASNet space as the reward, 15 batches at 0.0035
or 0.01 took the mean of the proposals from 0.08 to between 0.6 and 0.8, and 0.00035 left it at
0.08; at 0.02 and more the controller grows certain early, and often of too little.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from nasnet_jax.search import strategy
from nasnet_jax.search.controller import Controller

Params = dict[str, Any]
Metrics = dict[str, jax.Array]


class PolicyGradientState(NamedTuple):
    """All that the search has learnt.

    Attributes:
        params: The controller's parameters, nested dictionaries of float32 arrays.
        opt_state: The optimiser's state.
        baseline: float32 `[]`, the moving average of rewards; 0 before the first batch.
        observed: int32 `[]`, points observed so far.
        key_data: uint32, the raw data of the PRNG key of the next call.
    """

    params: Params
    opt_state: optax.OptState
    baseline: jax.Array
    observed: jax.Array
    key_data: jax.Array


class Experience(NamedTuple):
    """Points and what became of them.

    Attributes:
        decisions: int32 `[n, D]`.
        log_probs: float32 `[n, D]`, at the time of the proposal.
        advantages: float32 `[n]`, reward minus baseline.
        weights: float32 `[n]`, 1 for a point and 0 for padding.
    """

    decisions: jax.Array
    log_probs: jax.Array
    advantages: jax.Array
    weights: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyGradient(abc.ABC):
    """What PPO and REINFORCE share: the controller, the baseline, the entropy bonus, Adam.

    Attributes:
        choices: The number of alternatives of each of the D decisions.
        learning_rate: Of Adam.
        entropy_weight: Weight of the entropy of a sequence (nats, summed over its decisions).
        baseline_decay: Weight of the past in the moving average of rewards, for each reward.
        hidden_size: Units of the controller's LSTM.
        temperature: Divides the controller's logits.
        tanh_constant: Bounds the controller's logits, if given.
        max_grad_norm: The gradient is scaled down to this global norm, if given.
    """

    choices: tuple[int, ...]
    learning_rate: float = 0.00035
    entropy_weight: float = 0.00001
    baseline_decay: float = 0.95
    hidden_size: int = 100
    temperature: float = 1.0
    tanh_constant: float | None = None
    max_grad_norm: float | None = None

    def __post_init__(self) -> None:
        strategy.check_choices(self.choices)
        for name in ("learning_rate", "hidden_size", "temperature"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "positive")
        for name in ("tanh_constant", "max_grad_norm"):
            value = getattr(self, name)
            _check(name, value, value is None or value > 0, "positive, or None for none")
        _check("entropy_weight", self.entropy_weight, self.entropy_weight >= 0, "at least 0")
        _check(
            "baseline_decay",
            self.baseline_decay,
            0 <= self.baseline_decay < 1,
            "in the range [0, 1)",
        )

    @abc.abstractmethod
    def objective(self, log_probs: jax.Array, experience: Experience) -> tuple[jax.Array, Metrics]:
        """What the update ascends, apart from the entropy bonus.

        Args:
            log_probs: float32 `[n, D]`, of the decisions under the current parameters.
            experience: The points, their advantages, and their log-probabilities when proposed.

        Returns:
            The objective of each point, `[n]`, and diagnostics, each `[n]`.
        """

    @abc.abstractmethod
    def minibatches(self, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
        """Returns which of `n` points each update sees.

        Returns:
            Indices, int32 `[updates, width]`, and their weights, float32 of the same shape: 1, or 0
            where the index is padding.
        """

    @functools.partial(jax.jit, static_argnames="self")
    def init(self, key: jax.Array) -> PolicyGradientState:
        """Returns a new controller that has seen nothing."""
        params_key, key = jax.random.split(key)
        params = nnx.to_pure_dict(nnx.state(self._new_controller(params_key), nnx.Param))
        return PolicyGradientState(
            params=params,
            opt_state=self._optimizer().init(params),
            baseline=jnp.zeros((), jnp.float32),
            observed=jnp.zeros((), jnp.int32),
            key_data=jax.random.key_data(key),
        )

    @functools.partial(jax.jit, static_argnames=("self", "n"))
    def propose(
        self, state: PolicyGradientState, n: int
    ) -> tuple[PolicyGradientState, strategy.Proposal]:
        """Draws `n` points from the controller."""
        key_data, key = strategy.next_key(state.key_data)
        rollout = self.controller(state.params).sample(key, n)
        proposal = strategy.Proposal(rollout.decisions, rollout.log_probs)
        return state._replace(key_data=key_data), proposal

    @functools.partial(jax.jit, static_argnames="self")
    def recall(self, state: PolicyGradientState, decisions: jax.Array) -> strategy.Proposal:
        """Returns the points with the log-probabilities that the controller gives them now."""
        rollout = self.controller(state.params).evaluate(decisions)
        return strategy.Proposal(decisions, rollout.log_probs)

    @functools.partial(jax.jit, static_argnames="self")
    def observe(
        self, state: PolicyGradientState, proposal: strategy.Proposal, rewards: jax.Array
    ) -> tuple[PolicyGradientState, Metrics]:
        """Updates the controller, then the baseline.

        The advantages are the rewards minus the baseline of before this batch; for the very first
        batch that is its own mean. The baseline averages over rewards, not over calls: `n`
        rewards that arrive together weigh equally, and leave `baseline_decay ** n` to the past,
        so that its memory is as many children long in a small search as on a pod.

        Returns:
            The next state, and as means over the updates: `loss`, `entropy` (nats for a decision),
            `grad_norm`, and the diagnostics of `objective`; further the new `baseline` and
            `advantage`, the mean of the advantages.
        """
        strategy.check_rewards(proposal, rewards)
        n = rewards.shape[0]
        rewards = rewards.astype(jnp.float32)
        mean_reward = jnp.mean(rewards)
        baseline = jnp.where(state.observed == 0, mean_reward, state.baseline)
        experience = Experience(
            *proposal, advantages=rewards - baseline, weights=jnp.ones(n, jnp.float32)
        )

        key_data, key = strategy.next_key(state.key_data)
        optimizer = self._optimizer()

        def update(
            carry: tuple[Params, optax.OptState], minibatch: tuple[jax.Array, jax.Array]
        ) -> tuple[tuple[Params, optax.OptState], Metrics]:
            params, opt_state = carry
            indices, weights = minibatch
            seen = jax.tree.map(lambda field: field[indices], experience)._replace(weights=weights)
            gradient, metrics = jax.grad(self.loss, has_aux=True)(params, seen)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            params = optax.apply_updates(params, updates)
            return (params, opt_state), metrics | {"grad_norm": optax.tree.norm(gradient)}

        (params, opt_state), metrics = jax.lax.scan(
            update, (state.params, state.opt_state), self.minibatches(key, n)
        )
        past = self.baseline_decay**n
        new_baseline = past * baseline + (1 - past) * mean_reward
        metrics = jax.tree.map(jnp.mean, metrics) | {
            "baseline": new_baseline,
            "advantage": jnp.mean(experience.advantages),
        }
        return PolicyGradientState(
            params, opt_state, new_baseline, state.observed + n, key_data
        ), metrics

    def loss(self, params: Params, experience: Experience) -> tuple[jax.Array, Metrics]:
        """Returns the loss of a minibatch, a weighted mean over its points, and its metrics."""
        rollout = self.controller(params).evaluate(experience.decisions)
        objective, diagnostics = self.objective(rollout.log_probs, experience)
        entropy = jnp.sum(rollout.entropies, axis=1)
        loss = -_mean(objective + self.entropy_weight * entropy, experience.weights)
        metrics = {"loss": loss, "entropy": _mean(entropy, experience.weights) / len(self.choices)}
        for name, values in diagnostics.items():
            metrics[name] = _mean(values, experience.weights)
        return loss, metrics

    def controller(self, params: Params) -> Controller:
        """Returns the controller with the parameters of a state."""
        abstract = nnx.eval_shape(lambda: self._new_controller(jax.random.key(0)))
        merged: Controller = nnx.merge(nnx.graphdef(abstract), params)
        return merged

    def _new_controller(self, key: jax.Array) -> Controller:
        return Controller(
            self.choices,
            hidden_size=self.hidden_size,
            temperature=self.temperature,
            tanh_constant=self.tanh_constant,
            rngs=nnx.Rngs(params=key),
        )

    def _optimizer(self) -> optax.GradientTransformation:
        adam = optax.adam(self.learning_rate)
        if self.max_grad_norm is None:
            return adam
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), adam)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PPO(PolicyGradient):
    """Proximal policy optimisation (Schulman et al., 2017), clipped at every decision.

    Attributes:
        minibatch: The most points of one update.
        epochs: How often a batch is gone over, shuffled anew each time.
        clip: A decision whose probability moved by more than this fraction in the direction of its
            advantage is pushed no further.
    """

    minibatch: int = 20
    epochs: int = 4
    clip: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("minibatch", self.minibatch, self.minibatch >= 1, "at least 1")
        _check("epochs", self.epochs, self.epochs >= 1, "at least 1")
        _check("clip", self.clip, self.clip > 0, "positive")

    def objective(self, log_probs: jax.Array, experience: Experience) -> tuple[jax.Array, Metrics]:
        """The clipped surrogate, summed over decisions; `kl` estimates how far the policy moved."""
        log_ratio = log_probs - experience.log_probs
        ratio = jnp.exp(log_ratio)
        clipped = jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
        advantages = experience.advantages[:, None]
        surrogate = jnp.minimum(ratio * advantages, clipped * advantages)
        diagnostics = {
            "kl": jnp.sum(ratio - 1 - log_ratio, axis=1),
            "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > self.clip, axis=1),
        }
        return jnp.sum(surrogate, axis=1), diagnostics

    def minibatches(self, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
        """Deals `n` points into as few minibatches as possible, equal to within one point."""
        count = -(-n // self.minibatch)
        width = -(-n // count)
        padding = count * width - n
        weights = jnp.concatenate([jnp.ones(n), jnp.zeros(padding)]).astype(jnp.float32)

        def deal(cards: jax.Array) -> jax.Array:
            # Column by column, so that no minibatch gets more than one of the padding cards.
            return cards.reshape(width, count).T

        def shuffle(epoch_key: jax.Array) -> jax.Array:
            order = jax.random.permutation(epoch_key, n)
            return deal(jnp.concatenate([order, jnp.zeros(padding, order.dtype)]))

        indices = jax.vmap(shuffle)(jax.random.split(key, self.epochs))
        return indices.reshape(-1, width), jnp.tile(deal(weights), (self.epochs, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reinforce(PolicyGradient):
    """REINFORCE (Williams, 1992): one update on the whole batch.

    Its gradient is right only for the policy that proposed the batch, hence neither minibatches
    nor epochs.
    """

    def objective(self, log_probs: jax.Array, experience: Experience) -> tuple[jax.Array, Metrics]:
        """The log-likelihood of each point times its advantage."""
        return jnp.sum(log_probs, axis=1) * experience.advantages, {}

    def minibatches(self, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
        """One minibatch of all points."""
        del key
        return jnp.arange(n)[None], jnp.ones((1, n), jnp.float32)


def _mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.sum(values * weights) / jnp.sum(weights)


def _check(name: str, value: Any, valid: bool, requirement: str) -> None:
    if not valid:
        raise ValueError(f"strategy.{name} must be {requirement}, got {value!r}.")
