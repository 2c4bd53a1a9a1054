"""What a search leaves in its workdir for people and programs: history, best architecture, summary."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nasnet_jax.report.front import pareto_front
from nasnet_jax.search.budget import COSTS
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.search.history import History, Status
from nasnet_jax.space.serialization import write_atomically

HISTORY_FILE = "history.csv"
BEST_FILE = "best_architecture.json"
SUMMARY_FILE = "summary.json"
PARETO_FILE = "pareto.json"


def summarize(
    history: History,
    trainer: ChildTrainer,
    *,
    seconds: Mapping[str, float],
    refused: int,
    finished: bool,
) -> dict[str, Any]:
    """What is in `summary.json`.

    Args:
      history: with one child at least.
      trainer: of this session, which counts on from earlier ones.
      seconds: of all sessions, by phase.
      refused: architectures that were proposed and are above the limits.
      finished: whether nothing is left to do.
    """
    entries, winner = history.entries, history.winner()
    rewards = np.array([entry.reward for entry in entries])
    last = [entry.reward for entry in entries if entry.batch == entries[-1].batch]
    statuses = [entry.status for entry in entries]
    trained = len(entries) - statuses.count(Status.REUSED)
    searching = seconds["search"]
    return {
        "children": len(entries),
        "trained": statuses.count(Status.TRAINED),
        "reused": statuses.count(Status.REUSED),
        "diverged": statuses.count(Status.DIVERGED),
        "refused": refused,
        "compilations": trainer.compilations,
        "children_per_hour": 3600 * trained / searching if searching else None,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "idle_share": round(trainer.idle_share, 4),
        "best_reward": float(rewards.max()),
        "mean_reward": float(rewards.mean()),
        "mean_reward_last_batch": float(np.mean(last)),
        "best_architecture": winner.architecture.one_line(),
        "best_architecture_reward": winner.reward,
        "best_architecture_accuracy": winner.accuracy,
        "best_architecture_rerank_reward": _or_none(winner.rerank_reward),
        "best_architecture_rerank_accuracy": _or_none(winner.rerank_accuracy),
        "best_architecture_params": winner.params,
        "best_architecture_macs": winner.macs,
        "finished": finished,
    }


def write_results(folder: pathlib.Path, history: History, summary: Mapping[str, Any]) -> None:
    """Writes the four files, each in one step, so that none is ever seen half written."""
    history.write_csv(folder / HISTORY_FILE)
    write_atomically(folder / PARETO_FILE, json.dumps(_fronts(history), indent=2) + "\n")
    history.winner().architecture.save(folder / BEST_FILE)
    write_atomically(folder / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n")


def _fronts(history: History) -> dict[str, list[dict[str, Any]]]:
    """For each cost the children than which none is cheaper and as accurate, the cheapest first."""
    accuracies = np.array([entry.accuracy for entry in history.entries])
    fronts = {}
    for name in COSTS:
        costs = np.array([getattr(entry, name) for entry in history.entries])
        fronts[name] = [
            {
                "child": int(index),
                "accuracy": entry.accuracy,
                "rerank_accuracy": _or_none(entry.rerank_accuracy),
                "reward": entry.reward,
                "params": entry.params,
                "macs": entry.macs,
                "architecture": entry.one_line,
            }
            for index in pareto_front(costs, accuracies)
            for entry in (history.entries[index],)
        ]
    return fronts


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
