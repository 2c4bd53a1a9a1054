"""What a search takes over from another one."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import ml_collections
import numpy as np
import pytest

from nasnet_jax.search.budget import Budget
from nasnet_jax.search.config import check_config
from nasnet_jax.search.strategies import make_strategy
from nasnet_jax.search.warm_start import WarmStart, read_warm_start
from nasnet_jax.space import Architecture, Macro, choices, cost

MACRO = Macro(
    num_cells=1,
    num_filters=2,
    num_reductions=0,
    num_classes=10,
    image_size=8,
    image_channels=1,
    uniform_inputs=True,
)


def trainer(**budget: Any) -> Any:
    """What is asked of a trainer: what an architecture costs and how many images judge it."""
    return SimpleNamespace(budget=Budget(macro=MACRO, **budget), num_validation=300)


def fingerprint(workdir: Path) -> dict[str, Any]:
    return json.loads((workdir / "data.json").read_text(encoding="utf-8"))


@pytest.fixture
def rows(finished: Path) -> list[dict[str, str]]:
    with (finished / "history.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def config(tiny_config: ml_collections.ConfigDict, finished: Path) -> ml_collections.ConfigDict:
    tiny_config.warm_start = (str(finished / "history.csv"),)
    return tiny_config


def test_an_equal_search_is_reused_to_the_last_bit(
    config: ml_collections.ConfigDict, finished: Path, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    config.strategy.name, config.num_children = "random", 50
    warm = read_warm_start(config, trainer(), fingerprint(finished), kept=None)
    assert [line for line, _ in warm.learnt] == [row["architecture"] for row in rows]
    for row in rows:
        known = warm.find(Architecture.from_one_line(row["architecture"]).decisions())
        assert known is not None and known.epochs == config.child.epochs
        # Six decimals are in the file; this is the share of images itself.
        assert known.accuracy == round(known.accuracy * 300) / 300
        assert known.accuracy == pytest.approx(float(row["accuracy"]), abs=1e-6)
    warm.save(tmp_path)
    assert read_warm_start(config, trainer(), {}, kept=tmp_path) == warm


@pytest.mark.parametrize("field", ["child.learning_rate", "seed", "halving.rungs", "data"])
def test_another_search_only_teaches(
    config: ml_collections.ConfigDict, finished: Path, field: str
) -> None:
    data = fingerprint(finished)
    if field == "data":
        data["train"] = data["train"] | {"images": 1}
    else:
        value = (1,) if field == "halving.rungs" else 7
        config.update_from_flattened_dict({field: value})
    warm = read_warm_start(config, trainer(), data, kept=None)
    assert len(warm.learnt) == 9 and not warm.known


def test_rewards_are_those_of_this_search_and_limits_hold(
    config: ml_collections.ConfigDict, finished: Path, rows: list[dict[str, str]]
) -> None:
    config.reward.cost, config.reward.target = "params", 300
    params = [cost(Architecture.from_one_line(r["architecture"]), MACRO).params for r in rows]
    most = int(np.median(params))
    budget = {"cost_name": "params", "target": 300, "limits": (most, 0)}
    warm = read_warm_start(config, trainer(**budget), fingerprint(finished), kept=None)
    expected = [
        (row["architecture"], float(row["accuracy"]) - 0.07 * abs(count / 300 - 1))
        for row, count in zip(rows, params, strict=True)
        if count <= most
    ]
    assert [line for line, _ in warm.learnt] == [line for line, _ in expected]
    np.testing.assert_allclose([r for _, r in warm.learnt], [r for _, r in expected], atol=1e-6)


def test_evolution_begins_with_that_population() -> None:
    lines = [(Architecture.from_decisions(np.zeros(20, int)).one_line(), 0.1)] * 3
    other = Architecture.from_decisions(np.array([1, 0, 2, 3, 1] * 4))
    warm = WarmStart([*lines, (other.one_line(), 0.9)])
    strategy = make_strategy(
        {"name": "evolution", "population_size": 4, "sample_size": 60}, choices(2)
    )
    state = warm.teach(strategy, strategy.init(jax.random.key(0)), 3)
    np.testing.assert_allclose(state.rewards, [0.1, 0.1, 0.1, 0.9])
    # The best of so many is drawn surely, so all are its children.
    proposed = strategy.propose(state, 8)[1].decisions
    assert ((proposed != other.decisions()).sum(1) == 1).all()


# PPO goes over each of the five batches several times.
@pytest.mark.parametrize(("name", "rise"), [("ppo", 0.3), ("reinforce", 0.05)])
def test_a_policy_comes_to_like_what_was_good(name: str, rise: float) -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, choices(2), (120, 20))
    rewards = (rows[:, 2] == 5).astype(float)
    warm = WarmStart(
        [
            (Architecture.from_decisions(row).one_line(), reward)
            for row, reward in zip(rows, rewards, strict=True)
        ]
    )
    strategy = make_strategy({"name": name, "learning_rate": 0.01, "hidden_size": 16}, choices(2))
    state = strategy.init(jax.random.key(0))
    good = rows[rewards == 1]
    before = strategy.recall(state, good).log_probs[:, 2].mean()
    after = strategy.recall(warm.teach(strategy, state, 25), good).log_probs[:, 2].mean()
    assert after > before + rise


def test_another_space_is_refused_and_no_population_is_too_large(
    config: ml_collections.ConfigDict, finished: Path
) -> None:
    config.strategy.name = "evolution"
    check_config(config)  # Its hundred may come from there.
    config.num_blocks = 3
    with pytest.raises(ValueError, match="cells have 2 blocks; .* num_blocks=3"):
        read_warm_start(config, trainer(), fingerprint(finished), kept=None)
    config.warm_start = (str(finished.parent / "gone" / "history.csv"),)
    with pytest.raises(FileNotFoundError, match="is no workdir of a search"):
        read_warm_start(config, trainer(), fingerprint(finished), kept=None)


def test_a_history_of_an_earlier_version_is_read(
    config: ml_collections.ConfigDict, finished: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for name in ("config.json", "data.json"):
        shutil.copy(finished / name, old / name)
    with (finished / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    later = ("accuracy", "epochs", "first_reward", "rerank_accuracy")
    with (old / "history.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name not in later])
        writer.writeheader()
        writer.writerows(
            {name: value for name, value in row.items() if name not in later} for row in rows
        )
    expected = read_warm_start(config, trainer(), fingerprint(finished), kept=None)
    config.warm_start = (str(old),)
    assert read_warm_start(config, trainer(), fingerprint(old), kept=None) == expected
