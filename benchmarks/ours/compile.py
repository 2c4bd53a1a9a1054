"""Worker: compiles the program of a search, with whatever compilation cache the variables name."""

from __future__ import annotations

from typing import Any

from sizes import size_of
from worker import Run, serve

from nasnet_jax.data.builtin import FakeSpec, make_fake
from nasnet_jax.mesh import search_mesh
from nasnet_jax.platform import use_every_core
from nasnet_jax.search.child_trainer import ChildTrainer


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    use_every_core()
    config = size_of(settings).config()
    dataset, mesh = make_fake(FakeSpec(**config.dataset.fake)), search_mesh(-1, 1)

    def run(_: dict[str, Any]) -> dict[str, Any]:
        trainer = ChildTrainer(config, dataset, mesh)
        trainer.compile()
        return {"seconds": trainer.compile_seconds}

    return run, {}


if __name__ == "__main__":
    serve(prepare)
