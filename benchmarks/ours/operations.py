"""Worker: single operations, forward and gradient, inside a loop and a switch, and alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from worker import Run, serve

from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.operations import operation
from nasnet_jax.space import OPERATIONS


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    if "form" in settings:
        # For the whole process, as it traces everything once.
        mock.patch.object(lax, "platform_dependent", always(settings["form"])).start()
    shape, times = tuple(settings["shape"]), settings["times"]
    features, layers = shape[-1], LayerConfig(track_statistics=False)
    graphs, states = [], []
    for name in OPERATIONS:
        module = operation(name, features, features, 1, config=layers, rngs=nnx.Rngs(0))
        graph, state = nnx.split(module)
        graphs.append(graph)
        states.append(state)

    def gradient(index: int, states: Any, x: jax.Array, g: jax.Array) -> tuple:
        graph = graphs[index]
        y, vjp = jax.vjp(lambda state, x: nnx.merge(graph, state)(x), states[index], x)
        g_state, g_x = vjp(g)
        # All of it is used, so that none of it is left out.
        used = sum((jnp.sum(leaf) for leaf in jax.tree.leaves(g_state)), jnp.mean(y))
        return g_x, used

    branches = [
        lambda states, x, g, index=index: gradient(index, states, x, g)
        for index in range(len(OPERATIONS))
    ]

    @jax.jit
    def looped(chosen: jax.Array, states: Any, x: jax.Array, g: jax.Array) -> jax.Array:
        def step(_: int, carry: tuple) -> tuple:
            x, used = carry
            g_x, more = lax.switch(chosen, branches, states, x, g)
            return x + 1e-6 * g_x, used + more

        return lax.fori_loop(0, times, step, (x, jnp.zeros(())))[1]

    alone = [jax.jit(branch) for branch in branches]
    x, g = jax.random.normal(jax.random.key(0), (2, *shape))
    for index in range(len(OPERATIONS)) if settings.get("alone", True) else ():
        jax.block_until_ready(alone[index](states, x, g))
    jax.block_until_ready(looped(jnp.int32(0), states, x, g))

    def run(message: dict[str, Any]) -> dict[str, Any]:
        index = message["operation"]
        if message["where"] == "loop":
            jax.block_until_ready(looped(jnp.int32(index), states, x, g))
        else:
            for _ in range(times):
                jax.block_until_ready(alone[index](states, x, g))
        return {}

    return run, {"operations": list(OPERATIONS)}


def always(platform: str) -> Callable[..., Any]:
    """A `lax.platform_dependent` that takes one platform's form everywhere."""

    def chosen(*operands: Any, default: Callable, **forms: Callable) -> Any:
        return forms.get(platform, default)(*operands)

    return chosen


if __name__ == "__main__":
    serve(prepare)
