"""Workdirs of searches that never were."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nasnet_jax.space import Macro, cost, sample_architecture

MakeWorkdir = Callable[..., Path]


@functools.cache
def made_up(number: int) -> tuple[str, int, int]:
    """One line, parameters and multiply-adds of an architecture; there are 200."""
    drawn = sample_architecture(np.random.default_rng(number)).canonical()
    macro = Macro(num_cells=1, num_filters=8, num_classes=10, image_size=8, uniform_inputs=True)
    counted = cost(drawn, macro)
    return drawn.one_line(), counted.params, counted.macs


@pytest.fixture(scope="session")
def make_workdir(tmp_path_factory: pytest.TempPathFactory) -> MakeWorkdir:
    """Makes a workdir: `make_workdir(children, strategy="ppo")`.

    Child 3 diverged, child 4 repeats child 0, and the five best were trained again.
    """

    def make(children: int, strategy: str = "ppo") -> Path:
        folder = tmp_path_factory.mktemp(f"{strategy}-{children}")
        rng = np.random.default_rng(children)
        rewards = 0.7 + 0.2 * np.arange(children) / children + rng.normal(0, 0.03, children)
        rewards[3], rewards[4] = 0.0, rewards[0]
        best = set(np.argsort(-rewards)[:5])
        with (folder / "history.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(
                "index batch reward status params macs seconds rerank_reward log_prob "
                "architecture".split()
            )
            for index, reward in enumerate(rewards):
                line, params, macs = made_up(0 if index == 4 else index % 200)
                status = {3: "diverged", 4: "reused"}.get(index, "trained")
                rerank = f"{reward + 0.02:.6f}" if index in best else ""
                log_prob = 0.0 if strategy == "random" else -80 + 20 * index / children
                writer.writerow(
                    [
                        index,
                        index // 20,
                        f"{reward:.6f}",
                        status,
                        params,
                        macs,
                        "1.50",
                        rerank,
                        log_prob,
                        line,
                    ]
                )
        config = {"strategy": {"name": strategy}}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        summary = {"finished": True, "children_per_hour": 1234.5}
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        return folder

    return make
