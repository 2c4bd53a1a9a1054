"""Worker: a loop of `lax.switch` over 13 cheap branches, and the same loop without a switch."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from worker import Run, serve

BRANCHES = 13


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    shape, times = tuple(settings["shape"]), settings["times"]
    x = jax.random.normal(jax.random.key(0), shape)
    # Data, so that no branch is chosen while compiling.
    indices = jnp.arange(times) % BRANCHES
    factors = 1 + 1e-3 * jnp.arange(BRANCHES)

    @jax.jit
    def switched(x: jax.Array, indices: jax.Array, factors: jax.Array) -> jax.Array:
        # Different branches, or the compiler would make one of them.
        branches = [
            functools.partial(lambda x, number: x * factors[number] + number, number=number)
            for number in range(BRANCHES)
        ]
        return lax.scan(lambda x, index: (lax.switch(index, branches, x), None), x, indices)[0]

    @jax.jit
    def plain(x: jax.Array, indices: jax.Array, factors: jax.Array) -> jax.Array:
        return lax.scan(lambda x, index: (x * factors[index] + index, None), x, indices)[0]

    forms = {"switched": switched, "plain": plain}
    for form in forms.values():
        jax.block_until_ready(form(x, indices, factors))

    def run(message: dict[str, Any]) -> dict[str, Any]:
        jax.block_until_ready(forms[message["form"]](x, indices, factors))
        return {}

    return run, {}


if __name__ == "__main__":
    serve(prepare)
