"""Worker: trains children as a search does, by `ChildTrainer`."""

from __future__ import annotations

import functools
import os
from typing import Any
from unittest import mock

import jax
import numpy as np
from jax.sharding import Mesh
from sizes import parsed, size_of
from worker import Run, serve

from nasnet_jax.data.builtin import FakeSpec, make_fake
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.platform import use_every_core
from nasnet_jax.search import child_program
from nasnet_jax.search.child_trainer import ChildTrainer


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    if settings.get("core") is not None:
        os.environ["JAX_NUM_CPU_DEVICES"] = "1"
    use_every_core()
    config = size_of(settings).config()
    config.child.bfloat16 = settings.get("bfloat16", False)
    devices = jax.devices()[: settings.get("devices")]
    mesh = Mesh(np.array(devices).reshape(-1, 1), ("arch", "data"))
    if "batch_last" in settings:
        # For the whole process, instead of what its platform gets.
        fixed = functools.partial(fixed_order, settings["batch_last"])
        mock.patch.object(child_program, "LayerConfig", fixed).start()
    trainer = ChildTrainer(config, make_fake(FakeSpec(**config.dataset.fake)), mesh)
    trainer.compile()

    def run(message: dict[str, Any]) -> dict[str, Any]:
        results = trainer.train(parsed(message["architectures"]), epochs=config.child.epochs)
        return {
            "rewards": [one.reward for one in results],
            "seconds": [one.seconds for one in results],
        }

    return run, {"devices": len(devices), "compile_seconds": trainer.compile_seconds}


def fixed_order(wanted: bool, /, **fields: Any) -> LayerConfig:
    """A `LayerConfig` that keeps the batch where it is told to."""
    return LayerConfig(**{**fields, "batch_last": wanted})


if __name__ == "__main__":
    serve(prepare)
