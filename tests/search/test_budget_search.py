"""A search with all that keeps to a budget: limits, cost, halving, references, a warm start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ml_collections
import pytest

from nasnet_jax.progress import SearchProgress
from nasnet_jax.search.loop import run
from nasnet_jax.space import Architecture

Rows = Callable[[Path], list[dict[str, str]]]

RESNET = (
    "normal: conv_3x3(0)+conv_1x1(0) conv_3x3(2)+identity(0) -> 3; "
    "reduction: conv_3x3(0)+conv_1x1(0) conv_3x3(2)+conv_1x1(0) -> 3"
)
MOST, TARGET = 350, 15_000
"""Parameters, of which a random child has 150 to 500, and multiply-adds."""


@pytest.fixture
def budget_config(tiny_config: ml_collections.ConfigDict, finished: Path):
    tiny_config.num_children = 6
    tiny_config.limits.max_params = MOST
    tiny_config.reward.cost, tiny_config.reward.target = "macs", TARGET
    tiny_config.halving.rungs = (1,)
    tiny_config.reference = (RESNET,)
    tiny_config.warm_start = (str(finished / "history.csv"),)
    return tiny_config


class Stopped(Exception):
    """Stands for whatever ends a process in the middle of a call."""


def test_a_search_keeps_to_its_budget_also_when_it_is_stopped_at_a_rung(
    budget_config: ml_collections.ConfigDict, history_rows: Rows, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    calls = 0

    def count(progress: SearchProgress) -> None:
        nonlocal calls
        calls += progress.phase == "search"

    summary = run(budget_config, whole, on_progress=count)
    rows = history_rows(whole)
    assert len(rows) == summary["children"] == 6 and summary["compilations"] == 1
    assert summary["refused"] > 0 and summary["stopped"] == 2
    for row in rows:
        assert int(row["params"]) <= MOST
        worth = float(row["accuracy"]) - 0.07 * abs(int(row["macs"]) / TARGET - 1)
        assert float(row["reward"]) == pytest.approx(worth, abs=2e-6)
        assert (row["epochs"] == "1") == (row["status"] == "stopped")
        assert row["epochs"] == "2" or row["reward"] == row["first_reward"]
    # Of each batch of three two went on, and only of them the best is chosen.
    assert [row["epochs"] for row in rows].count("2") == 4
    best = max(
        (row for row in rows if row["rerank_reward"]), key=lambda r: float(r["rerank_reward"])
    )
    assert best["epochs"] == "2"
    architecture = Architecture.load(whole / "best_architecture.json")
    assert architecture.one_line() == best["architecture"]
    (reference,) = json.loads((whole / "references.json").read_text(encoding="utf-8"))
    assert reference["name"] == reference["architecture"] == RESNET and reference["accuracy"] > 0
    front = json.loads((whole / "pareto.json").read_text(encoding="utf-8"))
    assert all(rows[one["child"]]["epochs"] == "2" for one in front["params"] + front["macs"])

    stopped, left = tmp_path / "stopped", calls - 1

    def stop(progress: SearchProgress) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Stopped

    # In the second batch, whose first rung is done.
    with pytest.raises(Stopped):
        run(budget_config, stopped, on_progress=stop)
    run(budget_config, stopped)
    assert history_rows(stopped) == rows


def test_references_of_other_sizes_are_refused_before_anything_is_read(
    tiny_config: ml_collections.ConfigDict, tmp_path: Path
) -> None:
    tiny_config.reference = ("resnet",)
    with pytest.raises(ValueError, match="'resnet', whose cells have 5 blocks; .* num_blocks=2"):
        run(tiny_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
