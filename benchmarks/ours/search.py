"""Worker: runs a real search and tells how much of it was spent inside compiled calls."""

from __future__ import annotations

import tempfile
from typing import Any
from unittest import mock

from worker import Run, serve

from configs import quickstart
from nasnet_jax.platform import use_every_core
from nasnet_jax.search.child_trainer import ChildTrainer


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    use_every_core()
    from nasnet_jax.search import loop

    trainers: list[ChildTrainer] = []

    class Kept(ChildTrainer):
        """A child trainer that can be asked afterwards."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            trainers.append(self)

    def run(_: dict[str, Any]) -> dict[str, Any]:
        config = quickstart.get_config()
        config.num_children = settings["children"]
        config.rerank.top_k = 0
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(loop, "ChildTrainer", Kept):
            summary = loop.run(config, folder)
        trainer = trainers.pop()
        calls = trainer.device_seconds / trainer.mesh.size
        # The training of the winner, whose weights are kept, counts as re-ranking.
        seconds = summary["seconds"]["search"] + summary["seconds"]["rerank"]
        return {"loop_seconds": seconds, "call_seconds": calls, **summary}

    return run, {}


if __name__ == "__main__":
    serve(prepare)
