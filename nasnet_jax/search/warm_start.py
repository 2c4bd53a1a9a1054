"""What a search takes over from the histories of others.

Its strategy learns from all of their children before it proposes; those whose configuration and data are
equal keep their rewards when they are proposed here, and are not trained again.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import ml_collections
import numpy as np

from nasnet_jax.data.fingerprint import difference
from nasnet_jax.paths import local_path
from nasnet_jax.report.run import Run, load_runs
from nasnet_jax.run_files import DATA_FILE, HISTORY_FILE, WARM_START_FILE
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.search.config import default_config
from nasnet_jax.search.strategy import Strategy
from nasnet_jax.space import Architecture
from nasnet_jax.space.serialization import write_atomically

_DECIDE_A_REWARD = ("seed", "num_blocks", "dataset", "child", "halving", "mesh")
"""Fields, and parts of them, that a child's accuracy depends on, but for `_PLACES`."""

_PLACES = ("dataset.name", "dataset.data_dir", "mesh.arch")
"""Where data lie and children are trained. The data's fingerprint says whether they are the same."""


class Known(NamedTuple):
    """What is known of an architecture; as of `nasnet_jax.search.history.Entry`."""

    reward: float
    accuracy: float
    epochs: int
    first_reward: float


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """The children of other searches, with what they are worth in this one.

    Attributes:
        learnt: One-line forms and first rewards, in their order, of those that the strategy learns
            from.
        known: What is known of those that need not be trained again, by their one-line forms.
    """

    learnt: Sequence[tuple[str, float]] = ()
    known: Mapping[str, Known] = dataclasses.field(default_factory=dict)

    def find(self, decisions: np.ndarray) -> Known | None:
        """What is known of an architecture in its canonical form."""
        if not self.known:
            return None
        return self.known.get(Architecture.from_decisions(decisions).one_line())

    def teach(self, strategy: Strategy, state: Any, batch: int) -> Any:
        """Lets a strategy learn, in batches like its own.

        A policy has proposed none of this. Its batches are observed as if it had, with the probability
        that it gives them at that moment: ratios begin at 1, and clipping holds each batch to a small
        step, as always.

        Args:
            strategy: Of this search.
            state: Before.
            batch: Children of a batch; the first one has what is left over.

        Returns:
            The state after.
        """
        rows = np.array([Architecture.from_one_line(line).decisions() for line, _ in self.learnt])
        rewards = np.array([reward for _, reward in self.learnt], np.float32)
        first = len(rows) % batch
        for start in [0] * bool(first) + list(range(first, len(rows), batch)):
            part = slice(start, first if start < first else start + batch)
            proposal = strategy.recall(state, jnp.asarray(rows[part], jnp.int32))
            state, _ = strategy.observe(state, proposal, jnp.asarray(rewards[part]))
        return state

    def save(self, folder: pathlib.Path) -> None:
        """Keeps it in the workdir, where the others may grow or go."""
        content = {"learnt": list(self.learnt), "known": self.known}
        write_atomically(folder / WARM_START_FILE, json.dumps(content) + "\n")

    @classmethod
    def load(cls, folder: pathlib.Path) -> WarmStart:
        """The inverse of `save`."""
        content = json.loads((folder / WARM_START_FILE).read_text(encoding="utf-8"))
        known = {line: Known(*fields) for line, fields in content["known"].items()}
        return cls([(line, reward) for line, reward in content["learnt"]], known)


def read_warm_start(
    config: ml_collections.ConfigDict,
    trainer: ChildTrainer,
    fingerprint: Mapping[str, Any],
    *,
    kept: pathlib.Path | None,
) -> WarmStart:
    """Reads the histories that `config.warm_start` names, or what a search kept of them.

    Args:
        config: Of this search.
        trainer: Of its children.
        fingerprint: Of its data.
        kept: The workdir of this search, if it has begun: the others may have grown since.

    Raises:
        FileNotFoundError: If there is no history.
        ValueError: If one is damaged, or of another space.
    """
    if not config.warm_start:
        return WarmStart()
    if kept is not None:
        return WarmStart.load(kept)
    paths = [local_path(path) for path in config.warm_start]
    runs = load_runs([path.parent if path.name == HISTORY_FILE else path for path in paths])
    learnt: list[tuple[str, float]] = []
    known: dict[str, Known] = {}
    for run in runs:
        if run.architecture(0).num_blocks != config.num_blocks:
            raise ValueError(
                f"warm_start names {str(run.path)!r}, whose cells have "
                f"{run.architecture(0).num_blocks} blocks; those of this search have "
                f"num_blocks={config.num_blocks}."
            )
        is_equal = _is_equal(run, config, fingerprint)
        for line, one in _children(run, config, trainer, exact=is_equal):
            learnt.append((line, one.first_reward))
            if is_equal:
                known.setdefault(line, one)
    return WarmStart(learnt, known)


def _children(
    run: Run, config: ml_collections.ConfigDict, trainer: ChildTrainer, *, exact: bool
) -> Iterator[tuple[str, Known]]:
    """The children of another search within this one's limits, with their worth in this one."""
    same_reward = _part(run.config, "reward") == json.loads(config.to_json_best_effort())["reward"]
    budget, images = trainer.budget, trainer.num_validation

    def accuracy_of(value: float) -> float:
        # The history has six decimals of it.
        return round(value * images) / images if exact else float(value)

    for index, line in enumerate(run.architectures):
        counted = budget.cost(run.architecture(index))
        if not budget.meets(counted):
            continue
        accuracy = accuracy_of(run.accuracy[index])
        reward = budget.reward(accuracy, counted)
        first_reward = reward
        if run.epochs[index] != run.epochs.max() or _part(run.config, "halving")["rungs"]:
            # What it was after the first rung is known as a reward only.
            if not same_reward:
                continue
            first_reward = float(run.first_reward[index])
            if not budget.cost_name:
                first_reward = accuracy_of(first_reward)
        # An earlier version did not write the epochs, of which all children had as many.
        epochs = int(run.epochs[index]) or config.child.epochs
        yield line, Known(reward, accuracy, epochs, first_reward)


def _is_equal(run: Run, config: ml_collections.ConfigDict, fingerprint: Mapping[str, Any]) -> bool:
    """Whether a child of another search would get the same accuracy here."""
    data = run.path / DATA_FILE
    if not data.is_file():
        return False
    if difference(json.loads(data.read_text(encoding="utf-8")), fingerprint):
        return False
    here = json.loads(config.to_json_best_effort())
    return all(
        _without_places(name, _part(run.config, name)) == _without_places(name, here[name])
        for name in _DECIDE_A_REWARD
    )


def _part(config: Mapping[str, Any], name: str) -> Any:
    """A field or a part of another search's configuration; what it lacks has its default."""
    default = json.loads(default_config().to_json_best_effort())[name]
    there = config.get(name, default)
    return {**default, **there} if isinstance(default, dict) else there


def _without_places(name: str, part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return {key: value for key, value in part.items() if f"{name}.{key}" not in _PLACES}
