"""Worker: runs a real search and tells how much of its loop was spent inside compiled calls."""

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

    calls: list[float] = []

    class Timed(ChildTrainer):
        """A child trainer that notes how long its calls take; not the winner's, behind the loop."""

        def train_span(self, *arguments: Any, keep_best: bool = False, **others: Any) -> Any:
            before = self.device_seconds
            results = super().train_span(*arguments, keep_best=keep_best, **others)
            if not keep_best:
                calls.append((self.device_seconds - before) / self.mesh.size)
            return results

    def run(_: dict[str, Any]) -> dict[str, Any]:
        config = quickstart.get_config()
        config.num_children = settings["children"]
        config.rerank.top_k = 0
        calls.clear()
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.object(loop, "ChildTrainer", Timed),
        ):
            summary = loop.run(config, folder)
        seconds = summary["seconds"]["search"]
        return {"loop_seconds": seconds, "call_seconds": sum(calls), **summary}

    return run, {}


if __name__ == "__main__":
    serve(prepare)
