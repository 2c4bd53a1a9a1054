"""The search from start to end: what it writes, how it resumes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jax
import ml_collections
import numpy as np
import pytest

from nasnet_jax.inference.saved_model import read_model
from nasnet_jax.lock import locked
from nasnet_jax.run_files import LOCK_FILE
from nasnet_jax.search.loop import run
from nasnet_jax.space import Architecture

Rows = Callable[[Path], list[dict[str, str]]]


def test_results_agree_with_each_other(finished: Path, history_rows: Rows) -> None:
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    history = history_rows(finished)
    rewards = [float(row["reward"]) for row in history]
    assert len(history) == summary["children"] == 9
    assert summary["compilations"] == 1 and summary["finished"]
    assert summary["children_per_hour"] > 0 and min(summary["seconds"].values()) > 0
    assert summary["best_reward"] == pytest.approx(max(rewards), abs=1e-6)
    assert max(rewards) > 0.2  # Ten classes: better than chance after one epoch.
    reranked = [row for row in history if row["rerank_reward"]]
    assert len(reranked) == 2
    winner = max(reranked, key=lambda row: float(row["rerank_reward"]))
    best = Architecture.load(finished / "best_architecture.json")
    assert best == Architecture.from_one_line(winner["architecture"])


# JAX_ENABLE_X64 is for other code of the process and changes nothing.
@pytest.mark.parametrize(("children", "double_precision"), [(1, True), (4, False)])
def test_as_many_children_as_were_asked_for(
    finished: Path,
    tiny_config: ml_collections.ConfigDict,
    history_rows: Rows,
    tmp_path: Path,
    children: int,
    double_precision: bool,
) -> None:
    """Batches have three: one child is a part of the first, four end in a part of the second.

    What the second one leaves becomes a longer search, which is that one that was never shorter.
    """
    tiny_config.num_children = children
    tiny_config.rerank.top_k = 0
    with jax.enable_x64(double_precision):
        summary = run(tiny_config, tmp_path)
    assert summary["children"] == children and summary["finished"]
    without = {"rerank_reward": "", "rerank_accuracy": ""}
    expected = [row | without for row in history_rows(finished)[:children]]
    assert history_rows(tmp_path) == expected
    if children == 4:
        tiny_config.num_children, tiny_config.rerank.top_k = 9, 2
        assert run(tiny_config, tmp_path)["children"] == 9
        assert history_rows(tmp_path) == history_rows(finished)
        found, wanted = read_model(tmp_path)[1:], read_model(finished)[1:]
        jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_a_workdir_in_use_is_refused_and_left_alone(
    tiny_config: ml_collections.ConfigDict, tmp_path: Path
) -> None:
    with locked(tmp_path), pytest.raises(ValueError, match="is in use by another run, process"):
        run(tiny_config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]


def test_workdir_that_cannot_be_made_is_refused(
    tiny_config: ml_collections.ConfigDict, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be written"):
        run(tiny_config, tmp_path / "file" / "run")


def test_other_configuration_is_refused_with_the_difference(
    finished: Path, tiny_config: ml_collections.ConfigDict
) -> None:
    before = (finished / "history.csv").read_bytes()
    tiny_config.child.learning_rate = 0.3
    refusal = (
        r"child\.learning_rate: there 0\.1, here 0\.3 \(the rewards that are there are of such"
    )
    with pytest.raises(ValueError, match=refusal):
        run(tiny_config, finished)
    assert (finished / "history.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("child.batch_size", 5_000, "more than the 1137 images"),
        ("dataset.num_train", 1_138, "only 1137 images"),
        ("child.num_reductions", 4, "too small for the 4 reduction cells"),
        ("mesh.arch", 3, "does not make the 4 devices"),
        ("strategy.name", "grid", "strategy.name must be one of"),
        ("num_children", 0, "num_children must be at least 1"),
        ("num_blocks", 9, "at least 2 and at most 7"),
        ("strategy.name", "evolution", "population_size is 100, .* only 6"),
    ],
)
def test_bad_configuration_writes_nothing(
    tiny_config: ml_collections.ConfigDict,
    tmp_path: Path,
    field: str,
    value: object,
    message: str,
) -> None:
    tiny_config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=message):
        run(tiny_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
