"""Worker: training steps of several children on one device, by a search's own program."""

from __future__ import annotations

import os
import time
from typing import Any

import jax
import numpy as np
from ours.program import on_one_device
from sizes import architectures, size_of
from worker import Run, serve

from nasnet_jax.cuda_graphs import compiler_options
from nasnet_jax.memory import memory_of


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    os.environ["JAX_NUM_CPU_DEVICES"] = "1"
    size, number = size_of(settings), settings["children"]
    config = size.config()
    config.child.bfloat16 = settings.get("bfloat16", False)
    config.mesh.children_per_device = number
    made = on_one_device(size, config)
    started = time.perf_counter()
    launch = made.program.supernet.launch(architectures(number))
    scheduled = time.perf_counter()

    def on_device(tree: Any) -> Any:
        return jax.tree.map(lambda x: np.asarray(x)[None], tree)

    tapes = on_device(launch.tapes)
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), made.program.shapes
    )
    first, later = (
        made.control(first=first, steps=size.steps, evaluate=False) for first in (True, False)
    )
    options = compiler_options(wanted=settings.get("graphs", False), platform=jax.default_backend())
    lowered = made.program.sharded(made.mesh).lower(shapes, tapes, first, made.key, made.data)
    begun = time.perf_counter()
    program = lowered.compile(compiler_options=options)
    compiled = time.perf_counter()
    sizes = program.memory_analysis()
    assert sizes is not None
    needed = sizes.argument_size_in_bytes + sizes.temp_size_in_bytes
    facts = {
        "schedule_seconds": scheduled - started,
        "compile_seconds": compiled - begun,
        "needed_bytes": needed,
        "fits": needed < _free_bytes(),
    }

    def run(message: dict[str, Any]) -> dict[str, Any]:
        """Seconds of so many calls, behind one that is not counted."""
        placed = jax.device_put((tapes, made.key, made.data))
        zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
        children, seconds = zeros, []
        for control in [first] + message["calls"] * [later]:
            before = time.perf_counter()
            children, result = program(children, placed[0], control, *placed[1:])
            jax.block_until_ready((children, result))
            seconds.append(time.perf_counter() - before)
        return {"seconds": seconds[1:], "first_seconds": seconds[0]}

    return run, facts


def _free_bytes() -> float:
    """Of the device's memory; nothing has been put there yet."""
    free = memory_of(jax.devices()[0])
    return np.inf if free is None else free


if __name__ == "__main__":
    serve(prepare)
