"""Worker: layers of one kind, several at once with weights of their own, inside a loop and a switch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from jax import lax
from ours.operations import always
from worker import Run, serve

from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.supernet.kinds import Kind, Kinds
from nasnet_jax.supernet.rows import each


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    if settings["form"] == "shifted":
        # For the whole process, as it traces everything once.
        mock.patch.object(lax, "platform_dependent", always("cpu")).start()
    number, shape, times = settings["calls"], tuple(settings["shape"]), settings["times"]
    kinds = Kinds(shape[-1], LayerConfig(track_statistics=False), reduces=False)
    key = jax.random.key(0)
    states = jax.random.normal(key, (2, number, *shape))
    g = jax.random.normal(key, (number, *shape))
    kernels = 0.1 * jax.random.normal(key, (number, kinds.rows, shape[-1]))
    norms = jnp.ones((number, kinds.inside, 2, shape[-1]))
    branches = [_gradient(kind, number, settings["form"]) for kind in kinds.keeping]

    @jax.jit
    def looped(chosen: jax.Array, kernels: Any, norms: Any, states: Any, g: Any) -> jax.Array:
        def step(_: int, carry: tuple) -> tuple:
            states, used = carry
            g_states, more = lax.switch(chosen, branches, kernels, norms, states, g)
            return states + 1e-6 * g_states, used + more

        return lax.fori_loop(0, times, step, (states, jnp.zeros(())))[1]

    arguments = (kernels, norms, states, g)
    jax.block_until_ready(looped(jnp.int32(0), *arguments))

    def run(message: dict[str, Any]) -> dict[str, Any]:
        seconds = []
        # The first one may choose algorithms.
        for _ in range(1 + message["times"]):
            begun = time.perf_counter()
            jax.block_until_ready(looped(jnp.int32(message["kind"]), *arguments))
            seconds.append((time.perf_counter() - begun) / times)
        return {"seconds": seconds[1:]}

    return run, {"kinds": [str(kind.name) for kind in kinds.keeping]}


def _gradient(kind: Kind, number: int, form: str) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """A branch: what so many calls of a kind make, and its gradients, all of which are used."""

    def made(kernels: jax.Array, norms: jax.Array, *inputs: jax.Array) -> jax.Array:
        if form != "single":
            return each(kind.before_norm, number)(kernels, norms, *inputs)
        singly = [
            kind.before_norm(kernels[i], norms[i], *(x[i] for x in inputs)) for i in range(number)
        ]
        return jnp.stack(singly)

    def branch(kernels: Any, norms: Any, states: Any, g: Any) -> tuple[jax.Array, jax.Array]:
        inputs = [states[side] for side in range(kind.reads)]
        y, vjp = jax.vjp(made, kernels[:, : kind.rows], norms, *inputs)
        g_kernels, g_norms, *g_inputs = vjp(g)
        g_states = jnp.stack([*g_inputs, *([jnp.zeros_like(y)] * (2 - kind.reads))])
        return g_states, g_kernels.sum() + g_norms.sum() + y.mean()

    return branch


if __name__ == "__main__":
    serve(prepare)
