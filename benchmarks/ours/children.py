"""Worker: trains children as a search does, by `ChildTrainer`."""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from sizes import parsed, size_of
from worker import Run, serve

from nasnet_jax.data.builtin import FakeSpec, make_fake
from nasnet_jax.platform import use_every_core
from nasnet_jax.search.child_trainer import ChildTrainer


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    if settings.get("core") is not None:
        os.environ["JAX_NUM_CPU_DEVICES"] = "1"
    use_every_core()
    config = size_of(settings).config()
    config.child.bfloat16 = settings.get("bfloat16", False)
    devices = jax.devices()[: settings.get("devices")]
    mesh = Mesh(np.array(devices).reshape(-1, 1), ("arch", "data"))
    trainer = ChildTrainer(config, make_fake(FakeSpec(**config.dataset.fake)), mesh)
    trainer.compile()

    def run(message: dict[str, Any]) -> dict[str, Any]:
        results = trainer.train(parsed(message["architectures"]), epochs=config.child.epochs)
        return {
            "rewards": [one.reward for one in results],
            "seconds": [one.seconds for one in results],
        }

    return run, {"devices": len(devices), "compile_seconds": trainer.compile_seconds}


if __name__ == "__main__":
    serve(prepare)
