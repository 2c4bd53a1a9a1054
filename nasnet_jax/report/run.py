"""What a search left in its workdir, as arrays."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasnet_jax.paths import local_path
from nasnet_jax.run_files import CONFIG_FILE, HISTORY_FILE, REFERENCES_FILE, SUMMARY_FILE
from nasnet_jax.space.architecture import Architecture

STATUSES = ("trained", "reused", "diverged", "stopped")


@dataclasses.dataclass(frozen=True)
class Run:
    """A search, finished or under way; all arrays have one entry for each of its `n` children.

    Attributes:
        name: What to call it: the last folders of its path.
        path: The workdir.
        config: What is in `config.json`; empty if there is none.
        summary: What is in `summary.json`; empty if there is none.
        references: What is in `references.json`: `name`, `accuracy`, `params`, `macs` and more of each
            architecture that was trained to compare with.
        architectures: The one-line form of each child, in the order of their proposal.
        batch: int32 `[n]`, the batch that proposed it.
        reward: float64 `[n]`, what the accuracy is worth at the network's cost.
        accuracy: float64 `[n]`, on the held-out images; 0 if it diverged.
        first_reward: float64 `[n]`, reward after the first rung, which the strategy learns from.
        epochs: int32 `[n]`, of its training; 0 where an earlier version did not say it.
        rerank_reward: float64 `[n]`, reward after the longer training, NaN where there was none.
        params: int64 `[n]`, trainable parameters of the network that the search counts.
        macs: int64 `[n]`, its multiply-adds for one image.
        seconds: float64 `[n]`, time of its training.
        status: uint8 `[n]`, an index into `STATUSES`.
        log_prob: float64 `[n]`, log-probability under the policy that proposed it; all 0 from a
            strategy without a policy.
    """

    name: str
    path: pathlib.Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    references: Sequence[Mapping[str, Any]]
    architectures: Sequence[str]
    batch: np.ndarray
    reward: np.ndarray
    accuracy: np.ndarray
    first_reward: np.ndarray
    epochs: np.ndarray
    rerank_reward: np.ndarray
    params: np.ndarray
    macs: np.ndarray
    seconds: np.ndarray
    status: np.ndarray
    log_prob: np.ndarray

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def num_decisions(self) -> int:
        """The number of decisions that make an architecture."""
        return len(self.architecture(0).decisions())

    @property
    def strategy(self) -> str:
        """The name of the strategy, or a dash where no configuration says it."""
        return str(self.config.get("strategy", {}).get("name", "\N{EN DASH}"))

    @property
    def best(self) -> int:
        """The best child: by rerank reward if anything was re-ranked, else by reward."""
        reranked = ~np.isnan(self.rerank_reward)
        if reranked.any():
            return int(np.argmax(np.where(reranked, self.rerank_reward, -np.inf)))
        return int(np.argmax(np.where(self.is_whole, self.reward, -np.inf)))

    @property
    def is_whole(self) -> np.ndarray:
        """Which children were trained for as long as any, and not stopped, bool `[n]`."""
        return self.epochs == self.epochs.max()

    def bounds(self, cost: str) -> tuple[int, int]:
        """The target of a cost, `params` or `macs`, and the most that is allowed; 0 for none."""
        reward = self.config.get("reward", {})
        target = reward.get("target", 0) if reward.get("cost") == cost else 0
        return target, self.config.get("limits", {}).get(f"max_{cost}", 0)

    def architecture(self, index: int) -> Architecture:
        """The architecture of one child."""
        return Architecture.from_one_line(self.architectures[index])


def load_runs(workdirs: Sequence[str | os.PathLike[str]]) -> list[Run]:
    """Reads the workdirs of searches.

    Raises:
        FileNotFoundError: If one of them has no history.
        ValueError: If there is none, one stands there twice, has no children yet, or its history
            is damaged.
    """
    paths = [local_path(workdir).absolute() for workdir in workdirs]
    if not paths:
        raise ValueError("A report needs the workdir of at least one search.")
    if len(set(paths)) != len(paths):
        raise ValueError("A workdir is named twice; each search can be in a report once.")
    names = ["/".join(path.parts[-2:]) for path in paths]
    if len(set(names)) != len(names):
        names = [str(path) for path in paths]
    return [_load(path, name) for path, name in zip(paths, names, strict=True)]


def _load(path: pathlib.Path, name: str) -> Run:
    history = path / HISTORY_FILE
    if not history.is_file():
        raise FileNotFoundError(
            f"{str(path)!r} is no workdir of a search: it has no {HISTORY_FILE}, which a search "
            f"writes after its first batch of children."
        )
    with history.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{str(history)!r} has no children yet.")
    try:
        return Run(
            name=name,
            path=path,
            config=_read_json(path / CONFIG_FILE),
            summary=_read_json(path / SUMMARY_FILE),
            references=_read_list(path / REFERENCES_FILE),
            architectures=[row["architecture"] for row in rows],
            batch=np.array([row["batch"] for row in rows]).astype(np.int32),
            reward=np.array([row["reward"] for row in rows]).astype(np.float64),
            # An earlier version wrote one number for both.
            accuracy=np.array([row.get("accuracy", row["reward"]) for row in rows]).astype(float),
            first_reward=np.array([row.get("first_reward", row["reward"]) for row in rows]).astype(
                float
            ),
            epochs=np.array([row.get("epochs", 0) for row in rows]).astype(np.int32),
            rerank_reward=np.array([row["rerank_reward"] or "nan" for row in rows]).astype(float),
            params=np.array([row["params"] for row in rows]).astype(np.int64),
            macs=np.array([row["macs"] for row in rows]).astype(np.int64),
            seconds=np.array([row["seconds"] for row in rows]).astype(np.float64),
            status=np.array([STATUSES.index(row["status"]) for row in rows], np.uint8),
            log_prob=np.array([row.get("log_prob") or "0" for row in rows]).astype(float),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(history)!r} is not what a search writes: {error!r}.") from error


def _read_list(path: pathlib.Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
