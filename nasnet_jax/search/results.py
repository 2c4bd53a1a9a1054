"""What a search leaves in its workdir for people and programs: history, best architecture, summary."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from nasnet_jax.report.front import pareto_front
from nasnet_jax.run_files import BEST_FILE, HISTORY_FILE, PARETO_FILE, SUMMARY_FILE
from nasnet_jax.search.budget import COSTS
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.search.effort import Effort
from nasnet_jax.search.history import History, Status
from nasnet_jax.space.serialization import write_atomically


def summarize(
    config: ml_collections.ConfigDict,
    history: History,
    trainer: ChildTrainer,
    effort: Effort,
    *,
    finished: bool,
) -> dict[str, Any]:
    """What is in `summary.json`.

    Args:
        config: Of the search.
        history: With one child at least.
        trainer: Of this session, which counts on from earlier ones.
        effort: Of all sessions.
        finished: Whether nothing is left to do.
    """
    entries, winner = history.entries, history.winner()
    rewards = np.array([entry.reward for entry in entries])
    last = [entry.reward for entry in entries if entry.batch == entries[-1].batch]
    statuses = [entry.status for entry in entries]
    trained = len(entries) - statuses.count(Status.REUSED)
    searching = effort.seconds["search"]
    return {
        "children": len(entries),
        "trained": statuses.count(Status.TRAINED),
        "reused": statuses.count(Status.REUSED),
        "diverged": statuses.count(Status.DIVERGED),
        "stopped": statuses.count(Status.STOPPED),
        "refused": effort.refused,
        "compilations": trainer.compilations,
        "children_per_hour": 3600 * trained / searching if searching else None,
        "seconds": {name: round(value, 2) for name, value in effort.seconds.items()},
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
        "rerank": config.rerank.to_dict(),
        "reference": list(config.reference),
        "finished": finished,
    }


def write_results(folder: pathlib.Path, history: History, summary: Mapping[str, Any]) -> None:
    """Writes the four files, each in one step, so that none is ever seen half written."""
    history.write_csv(folder / HISTORY_FILE)
    write_atomically(folder / PARETO_FILE, json.dumps(_fronts(history), indent=2) + "\n")
    history.winner().architecture.save(folder / BEST_FILE)
    write_atomically(folder / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n")


def _fronts(history: History) -> dict[str, list[dict[str, Any]]]:
    """For each cost the children than which none is cheaper and as accurate, the cheapest first.

    Those that were stopped are none of them.
    """
    most = max(entry.epochs for entry in history.entries)
    numbers = [index for index, entry in enumerate(history.entries) if entry.epochs == most]
    accuracies = np.array([history.entries[index].accuracy for index in numbers])
    fronts = {}
    for name in COSTS:
        costs = np.array([getattr(history.entries[index], name) for index in numbers])
        fronts[name] = [
            {
                "child": numbers[index],
                "accuracy": entry.accuracy,
                "rerank_accuracy": _or_none(entry.rerank_accuracy),
                "reward": entry.reward,
                "params": entry.params,
                "macs": entry.macs,
                "architecture": entry.one_line,
            }
            for index in pareto_front(costs, accuracies)
            for entry in (history.entries[numbers[index]],)
        ]
    return fronts


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
