"""Worker: the search itself, for as long as it is given."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import time
from typing import Any
from unittest import mock

import jax
from sizes import CLASSES
from worker import Run, serve

from nasnet_jax.progress import SearchProgress
from nasnet_jax.search import loop
from nasnet_jax.search.config import default_config


class TimeIsUp(Exception):
    """Ends the search."""


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    if importlib.util.find_spec("tensorflow") is None:
        # Which clu's writers need; nothing here reads TensorBoard's files.
        mock.patch.object(loop, "Metrics", lambda *_: mock.MagicMock()).start()
    config = default_config()
    config.dataset.name = settings["data"]
    config.dataset.num_validation = settings["validation"]
    config.mesh.children_per_device = settings["children"]
    config.mesh.cuda_graphs = settings["graphs"]
    config.children_per_batch = settings["children"] * jax.device_count()
    config.child.update(settings["child"])
    config.num_children = 20_000
    config.dataset.fake.num_classes = CLASSES
    config.dataset.fake.num_train = 10 * settings["validation"]

    def run(message: dict[str, Any]) -> dict[str, Any]:
        """Searches until the time is up; the seconds of compilation are not counted."""
        begun: list[float] = []
        children, found = 0.0, []

        def on_progress(progress: SearchProgress) -> None:
            nonlocal children
            seconds = time.perf_counter() - begun[0]
            children = progress.share * config.num_children
            found.append((seconds, children, progress.best_reward))
            if seconds > message["seconds"]:
                raise TimeIsUp

        with contextlib.suppress(TimeIsUp):
            loop.run(
                config,
                message["workdir"],
                on_progress=on_progress,
                on_begin=lambda: begun.append(time.perf_counter()),
            )
        seconds = time.perf_counter() - begun[0]
        return {"children": children, "seconds": seconds, "progress": found[-200:]}

    return run, {"config": json.loads(config.to_json_best_effort())}


if __name__ == "__main__":
    serve(prepare)
