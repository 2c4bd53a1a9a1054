"""The controller: an LSTM that writes an architecture one decision at a time.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", appendix A.2:
one layer of 100 units, every parameter initialised uniformly in [-0.1, 0.1], and one softmax for
each decision. Each softmax reads the LSTM's output; the decision that is drawn from it is embedded
and becomes the LSTM's next input, so every decision knows those before it.

D stands for the number of decisions, W for the largest number of choices among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.flatten_util import ravel_pytree

INIT_SCALE = 0.1
"""Half the width of the uniform initialisation (paper, appendix A.2)."""


class Rollout(NamedTuple):
    """Sequences of decisions under the controller.

    Attributes:
        decisions: int32 `[n, D]`.
        log_probs: float32 `[n, D]`, the log-probability of each decision given those before it.
        entropies: float32 `[n, D]`, in nats, of the distribution each decision was drawn from.
    """

    decisions: jax.Array
    log_probs: jax.Array
    entropies: jax.Array


class _Step(NamedTuple):
    """What belongs to one decision; stacked along a leading axis D to be scanned over."""

    embedding: jax.Array  # [W, hidden]: of the previous decision.
    kernel: jax.Array  # [hidden, W]
    bias: jax.Array  # [W]
    valid: jax.Array  # bool [W]


class Controller(nnx.Module):
    """An autoregressive distribution over sequences of decisions.

    Every decision has its own softmax and its own table to embed the decision before it. All are as
    wide as the widest, so that they stack and `lax.scan` runs over them; the choices that a
    decision does not have are masked.
    """

    def __init__(
        self,
        choices: tuple[int, ...],
        *,
        hidden_size: int = 100,
        temperature: float = 1.0,
        tanh_constant: float | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        """Initialises all parameters uniformly in [-0.1, 0.1].

        Args:
            choices: The number of choices of each of the D decisions.
            hidden_size: Units of the LSTM, and width of the embeddings.
            temperature: Divides the logits; above 1 flattens the distribution.
            tanh_constant: If given, c, the logits become `c * tanh(logits / temperature)`, which
                bounds how certain the controller can be.
            rngs: The stream `params` is drawn from.
        """
        depth, width = len(choices), max(choices)
        self.choices = choices
        self.hidden_size = hidden_size
        self.temperature = temperature
        self.tanh_constant = tanh_constant
        zeros = nnx.initializers.zeros
        self.cell = nnx.OptimizedLSTMCell(
            hidden_size, hidden_size, kernel_init=zeros, recurrent_kernel_init=zeros, rngs=rngs
        )
        # Row 0 of embedding[0] is the input of the first step, which has no decision before it.
        self.embedding = nnx.Param(jnp.zeros((depth, width, hidden_size)))
        self.kernel = nnx.Param(jnp.zeros((depth, hidden_size, width)))
        self.bias = nnx.Param(jnp.zeros((depth, width)))
        # All in one draw: a program takes a quarter of a second to compile for each that it has.
        start, unravel = ravel_pytree(nnx.state(self, nnx.Param))
        nnx.update(
            self,
            unravel(
                jax.random.uniform(
                    rngs.params(), start.shape, minval=-INIT_SCALE, maxval=INIT_SCALE
                )
            ),
        )

    def sample(self, key: jax.Array, n: int) -> Rollout:
        """Draws `n` sequences of decisions with a typed PRNG key."""
        keys = jax.random.split(key, len(self.choices))
        return self._unroll(n, keys, jax.random.categorical)

    def evaluate(self, decisions: jax.Array) -> Rollout:
        """Returns the log-probabilities and entropies of given decisions, int32 `[n, D]`."""
        return self._unroll(decisions.shape[0], decisions.T, lambda given, _: given)

    def _unroll(
        self,
        n: int,
        sources: jax.Array,
        decide: Callable[[jax.Array, jax.Array], jax.Array],
    ) -> Rollout:
        """Runs the LSTM over the decisions.

        Args:
            n: Number of sequences.
            sources: `[D, ...]`, what each decision is taken from: a key, or the decisions `[n]`.
            decide: Maps a source and masked logits `[n, W]` to decisions `[n]`.
        """
        valid = jnp.arange(max(self.choices)) < jnp.array(self.choices)[:, None]
        steps = _Step(self.embedding[...], self.kernel[...], self.bias[...], valid)

        def step(
            carry: tuple[tuple[jax.Array, jax.Array], jax.Array],
            inputs: tuple[jax.Array, _Step],
        ) -> tuple[tuple[tuple[jax.Array, jax.Array], jax.Array], Rollout]:
            memory, previous = carry
            source, own = inputs
            memory, hidden = self.cell(memory, own.embedding[previous])
            logits = self._logits(hidden @ own.kernel + own.bias, own.valid)
            decision = decide(source, logits).astype(jnp.int32)
            log_probs = jax.nn.log_softmax(logits)
            log_prob = jnp.take_along_axis(log_probs, decision[:, None], axis=-1)[:, 0]
            entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
            return (memory, decision), Rollout(decision, log_prob, entropy)

        zeros = jnp.zeros((n, self.hidden_size), jnp.float32)
        start = ((zeros, zeros), jnp.zeros(n, jnp.int32))
        _, rollout = jax.lax.scan(step, start, (sources, steps))
        return Rollout(*(field.T for field in rollout))

    def _logits(self, logits: jax.Array, valid: jax.Array) -> jax.Array:
        """Tempers logits `[n, W]` and masks out the choices that are not valid, bool `[W]`."""
        logits = logits / self.temperature
        if self.tanh_constant is not None:
            logits = self.tanh_constant * jnp.tanh(logits)
        # The lowest finite number, not -inf: 0 * log 0 must be 0, not NaN, in the entropy.
        return jnp.where(valid, logits, jnp.finfo(logits.dtype).min)
