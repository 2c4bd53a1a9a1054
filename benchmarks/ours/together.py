"""Worker: several children on one device, by a tape of chunks, by `lax.map` or by `vmap`."""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as P
from ours.program import on_one_device
from sizes import parsed, size_of
from worker import Run, serve

from nasnet_jax.search.child_program import Control, Data


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    os.environ["JAX_NUM_CPU_DEVICES"] = "1"
    size, number = size_of(settings), settings["children"]
    config = size.config()
    whole = settings["how"] == "tape"
    config.mesh.children_per_device = number if whole else 1
    made = on_one_device(size, config)
    program = made.program
    control = made.control(first=True, steps=size.steps, evaluate=True)

    def device(tapes: Any, control: Control, key: jax.Array, data: Data) -> Any:
        def train(tapes: Any) -> jax.Array:
            children = jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), program.shapes)
            _, result = program.call(children, tapes, control, key, data, shards=1)
            return result.correct

        if whole:
            return train(tapes)
        return lax.map(train, tapes) if settings["how"] == "map" else jax.vmap(train)(tapes)

    function = jax.jit(
        jax.shard_map(device, mesh=made.mesh, in_specs=P(), out_specs=P(), check_vma=False)
    )
    control, key, data = jax.device_put((control, made.key, made.data))

    def run(message: dict[str, Any]) -> dict[str, Any]:
        chosen = parsed(message["architectures"])
        assert len(chosen) == number
        if whole:
            tapes = program.supernet.launch(chosen).tapes
        else:
            launches = [program.supernet.launch([one]).tapes for one in chosen]
            tapes = jax.tree.map(lambda *parts: np.stack(parts), *launches)
        return {"correct": np.ravel(function(tapes, control, key, data)).tolist()}

    return run, {}


if __name__ == "__main__":
    serve(prepare)
