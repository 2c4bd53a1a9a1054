"""Worker: several children on one device, by a tape of chunks, by `lax.map` or by `vmap`."""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from sizes import parsed, size_of
from worker import Run, serve

from nasnet_jax.data.augment import channel_statistics
from nasnet_jax.data.builtin import FakeSpec, make_fake
from nasnet_jax.search.child_program import Control, Data, make_child_program
from nasnet_jax.search.config import search_macro


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    os.environ["JAX_NUM_CPU_DEVICES"] = "1"
    size, number = size_of(settings), settings["children"]
    config = size.config()
    whole = settings["how"] == "tape"
    config.mesh.children_per_device = number if whole else 1
    made = make_fake(FakeSpec(**config.dataset.fake))
    kept = size.steps * size.batch_size
    mean, deviation = channel_statistics(made.train_images[:kept])
    data = Data(
        made.train_images[:kept],
        made.train_labels[:kept],
        made.train_images[kept:],
        made.train_labels[kept:],
        np.ones(len(made.train_labels) - kept, np.float32),
        mean,
        deviation,
    )
    macro = search_macro(config, made.image_shape, made.num_classes)
    program = make_child_program(config, macro, platform=jax.default_backend())
    control = Control(
        first=np.bool_(True),
        start=np.int32(0),
        steps=np.int32(size.steps),
        horizon=np.int32(size.steps),
        evaluate=np.bool_(True),
    )
    key = jax.random.key_data(jax.random.key(0))

    def device(tapes: Any, control: Control, key: jax.Array, data: Data) -> Any:
        def train(tapes: Any) -> jax.Array:
            children = jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), program.shapes)
            _, result = program.call(children, tapes, control, key, data, shards=1)
            return result.correct

        if whole:
            return train(tapes)
        return lax.map(train, tapes) if settings["how"] == "map" else jax.vmap(train)(tapes)

    mesh = Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("arch", "data"))
    function = jax.jit(
        jax.shard_map(device, mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False)
    )
    control, key, data = jax.device_put((control, key, data))

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
