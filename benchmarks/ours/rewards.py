"""Worker: trains children on real digits as `configs/quickstart.py` does, for their rewards."""

from __future__ import annotations

from typing import Any

from sizes import parsed
from worker import Run, serve

from configs import quickstart
from nasnet_jax.data import load_arrays
from nasnet_jax.mesh import search_mesh
from nasnet_jax.platform import use_every_core
from nasnet_jax.search.child_trainer import ChildTrainer


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    use_every_core()
    config = quickstart.get_config()
    config.child.bfloat16 = settings["bfloat16"]
    config.seed = settings["seed"]
    trainer = ChildTrainer(config, load_arrays(config.dataset.name), search_mesh(-1, 1))
    trainer.compile()

    def run(message: dict[str, Any]) -> dict[str, Any]:
        found = trainer.train(parsed(message["architectures"]), epochs=settings["epochs"])
        return {"rewards": [one.reward for one in found]}

    return run, {}


if __name__ == "__main__":
    serve(prepare)
