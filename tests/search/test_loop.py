"""The search from start to end: what it writes, how it resumes, what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import ml_collections
import pytest

from nasnet_jax.search.config import default_config
from nasnet_jax.search.loop import Progress, run
from nasnet_jax.space import Architecture


def tiny_config() -> ml_collections.ConfigDict:
    config = default_config()
    config.num_blocks = 2
    config.num_children = 6
    config.children_per_batch = 3
    config.dataset.name = "digits"
    config.dataset.num_validation = 300
    config.strategy.learning_rate = 0.01
    config.child.num_cells = 1
    config.child.num_filters = 2
    config.child.num_reductions = 1
    config.child.epochs = 1
    config.child.batch_size = 128
    config.child.crop_padding = 1
    config.child.flip = False
    config.rerank.top_k = 2
    config.rerank.epochs = 2
    return config


def rows(workdir: Path) -> list[dict[str, str]]:
    """The history without its times."""
    with open(workdir / "history.csv", encoding="utf-8") as file:
        entries = list(csv.DictReader(file))
    for entry in entries:
        del entry["seconds"]
    return entries


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("search")
    run(tiny_config(), workdir)
    return workdir


def test_results_agree_with_each_other(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    history = rows(finished)
    rewards = [float(row["reward"]) for row in history]
    assert len(history) == summary["children"] == 6
    assert summary["compilations"] == 1 and summary["finished"]
    assert summary["best_reward"] == pytest.approx(max(rewards), abs=1e-6)
    assert max(rewards) > 0.2  # Ten classes: better than chance after one epoch.
    reranked = [row for row in history if row["rerank_reward"]]
    assert len(reranked) == 2
    winner = max(reranked, key=lambda row: float(row["rerank_reward"]))
    best = Architecture.load(finished / "best_architecture.json")
    assert best == Architecture.from_one_line(winner["architecture"])


class Stopped(Exception):
    """Stands for whatever ends a process in the middle of a call."""


@pytest.mark.parametrize("call", [1, 3])
def test_interrupted_search_resumes_to_the_same_history(
    finished: Path, tmp_path: Path, call: int
) -> None:
    calls = 0

    def stop(progress: Progress) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Stopped

    with pytest.raises(Stopped):
        run(tiny_config(), tmp_path, on_progress=stop)
    run(tiny_config(), tmp_path)
    assert rows(tmp_path) == rows(finished)


def test_other_configuration_is_refused_with_the_difference(finished: Path) -> None:
    before = (finished / "history.csv").read_bytes()
    config = tiny_config()
    config.child.learning_rate = 0.3
    with pytest.raises(ValueError, match=r"child\.learning_rate: there 0\.1, here 0\.3"):
        run(config, finished)
    assert (finished / "history.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("child.batch_size", 5_000, "more than the 1137 images"),
        ("child.num_reductions", 4, "too small for the 4 reduction cells"),
        ("mesh.arch", 3, "does not make the 4 devices"),
        ("strategy.name", "grid", "strategy.name must be one of"),
        ("num_children", 0, "num_children must be at least 1"),
        ("num_blocks", 9, "from 2 to 7"),
    ],
)
def test_bad_configuration_writes_nothing(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    config = tiny_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=message):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
