"""Everything that a search has learnt about architectures, child by child."""

from __future__ import annotations

import csv
import dataclasses
import enum
import functools
import io
import pathlib
from typing import Any

import numpy as np

from nasnet_jax.space import Architecture
from nasnet_jax.space.serialization import write_atomically

COLUMNS = (
    "index",
    "batch",
    "reward",
    "accuracy",
    "epochs",
    "first_reward",
    "status",
    "params",
    "macs",
    "seconds",
    "rerank_reward",
    "rerank_accuracy",
    "log_prob",
    "architecture",
)


class Status(enum.IntEnum):
    """How a child came by its reward."""

    TRAINED = 0
    REUSED = 1
    DIVERGED = 2
    STOPPED = 3


@dataclasses.dataclass(eq=False)
class Entry:
    """One child.

    Attributes:
        batch: The number of the batch that proposed it, from 0.
        decisions: `[D]`, of the canonical form.
        reward: What the accuracy is worth at the network's cost (`nasnet_jax.search.budget`).
        status: How it came by the reward.
        params: Trainable parameters of the network that `reward.network` names.
        macs: Multiply-adds of that network for one image.
        seconds: Wall time of the row it was trained in; 0 if its reward was reused.
        log_prob: Log-probability of the architecture under the policy that proposed it. The mean of
            its negative over a batch estimates that policy's entropy, in nats.
        accuracy: On the held-out images; 0 if it diverged.
        rerank_reward: Reward after the longer training of the best; NaN where there was none.
        rerank_accuracy: Accuracy after it.
        rerank_epochs: How long that training was; 0 where there was none.
        epochs: Of its training; fewer than others' if it was stopped.
        first_reward: Reward after the first rung, which the strategy learns from: all children have
            had as many epochs then. Without halving it is the reward.
    """

    batch: int
    decisions: np.ndarray
    reward: float
    status: Status
    params: int
    macs: int
    seconds: float
    log_prob: float
    accuracy: float
    epochs: int
    first_reward: float
    rerank_reward: float = float("nan")
    rerank_accuracy: float = float("nan")
    rerank_epochs: int = 0

    def set_rerank(self, reward: float, accuracy: float, epochs: int) -> None:
        """Notes what a longer training brought."""
        self.rerank_reward, self.rerank_accuracy, self.rerank_epochs = reward, accuracy, epochs

    def clear_rerank(self) -> None:
        """Forgets the longer training."""
        self.set_rerank(float("nan"), float("nan"), 0)

    @property
    def architecture(self) -> Architecture:
        """The canonical architecture."""
        return Architecture.from_decisions(self.decisions)

    @functools.cached_property
    def one_line(self) -> str:
        """The architecture as text; kept, since the whole history is written after every batch."""
        return self.architecture.one_line()


class History:
    """The children of a search in the order of their proposal.

    Attributes:
        entries: The children.
        best_reward: The highest reward; None before there is a child.
    """

    def __init__(self, num_decisions: int) -> None:
        self._num_decisions = num_decisions
        self.entries: list[Entry] = []
        self.best_reward: float | None = None
        self._first: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def of_batch(self, number: int) -> list[Entry]:
        """The children of a batch, in their order."""
        first = len(self.entries)
        while first and self.entries[first - 1].batch >= number:
            first -= 1
        return [entry for entry in self.entries[first:] if entry.batch == number]

    def next_batch(self, size: int) -> int:
        """The number of the batch that is to be trained next.

        Args:
            size: Children of a batch; one that the end of the search cut short is not done.
        """
        if not self.entries:
            return 0
        last = self.entries[-1].batch
        return last if len(self.of_batch(last)) < size else last + 1

    def drop(self, count: int) -> None:
        """Takes back the last children."""
        kept = self.entries[: len(self.entries) - count]
        self.entries, self._first, self.best_reward = [], {}, None
        for entry in kept:
            self.append(entry)

    def append(self, entry: Entry) -> None:
        """Adds a child."""
        self._first.setdefault(_key(entry.decisions), len(self.entries))
        self.entries.append(entry)
        best = entry.reward if self.best_reward is None else self.best_reward
        self.best_reward = max(entry.reward, best)

    def find(self, decisions: np.ndarray) -> Entry | None:
        """The first child with these canonical decisions, if there was one."""
        index = self._first.get(_key(decisions))
        return None if index is None else self.entries[index]

    def best(self, count: int) -> list[Entry]:
        """The distinct architectures with the highest rewards, the earliest of equals first.

        Those that were stopped come behind those that were trained for longer.
        """
        distinct = [self.entries[index] for index in self._first.values()]
        return sorted(distinct, key=lambda entry: (-entry.epochs, -entry.reward))[:count]

    def winner(self) -> Entry:
        """The best by rerank reward if anything was re-ranked, else by reward.

        Raises:
            ValueError: If there are no children.
        """
        if not self.entries:
            raise ValueError("There is no best architecture before the first child is trained.")
        reranked = [e for e in self.entries if not np.isnan(e.rerank_reward)]
        if reranked:
            return max(reranked, key=lambda entry: entry.rerank_reward)
        return self.best(1)[0]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All entries as arrays with a leading axis of their number, for a checkpoint."""
        entries = self.entries
        shape = (len(entries), self._num_decisions)
        return {
            "batch": np.array([e.batch for e in entries], np.int32),
            "decisions": np.array([e.decisions for e in entries], np.uint8).reshape(shape),
            "reward": np.array([e.reward for e in entries], np.float64),
            "status": np.array([e.status for e in entries], np.uint8),
            "params": np.array([e.params for e in entries], np.int64),
            "macs": np.array([e.macs for e in entries], np.int64),
            "seconds": np.array([e.seconds for e in entries], np.float64),
            "log_prob": np.array([e.log_prob for e in entries], np.float64),
            "accuracy": np.array([e.accuracy for e in entries], np.float64),
            "rerank_reward": np.array([e.rerank_reward for e in entries], np.float64),
            "rerank_accuracy": np.array([e.rerank_accuracy for e in entries], np.float64),
            "rerank_epochs": np.array([e.rerank_epochs for e in entries], np.int32),
            "epochs": np.array([e.epochs for e in entries], np.int32),
            "first_reward": np.array([e.first_reward for e in entries], np.float64),
        }

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, Any], *, epochs: int = 0, rerank_epochs: int = 0
    ) -> History:
        """The inverse of `to_arrays`.

        Args:
            arrays: As it gave them; an earlier version had no accuracies, which were the rewards.
            epochs: Of a child, where they are not among the arrays.
            rerank_epochs: Of a longer training, where they are not.
        """
        reranked = ~np.isnan(arrays["rerank_reward"])
        arrays = {
            "accuracy": arrays["reward"],
            "epochs": np.full(len(arrays["reward"]), epochs),
            "first_reward": arrays["reward"],
            "rerank_accuracy": arrays["rerank_reward"],
            "rerank_epochs": np.where(reranked, rerank_epochs, 0),
            **arrays,
        }
        history = cls(arrays["decisions"].shape[1])
        for index in range(len(arrays["batch"])):
            history.append(
                Entry(
                    batch=int(arrays["batch"][index]),
                    decisions=np.asarray(arrays["decisions"][index], np.int32),
                    reward=float(arrays["reward"][index]),
                    status=Status(int(arrays["status"][index])),
                    params=int(arrays["params"][index]),
                    macs=int(arrays["macs"][index]),
                    seconds=float(arrays["seconds"][index]),
                    log_prob=float(arrays["log_prob"][index]),
                    accuracy=float(arrays["accuracy"][index]),
                    epochs=int(arrays["epochs"][index]),
                    first_reward=float(arrays["first_reward"][index]),
                    rerank_reward=float(arrays["rerank_reward"][index]),
                    rerank_accuracy=float(arrays["rerank_accuracy"][index]),
                    rerank_epochs=int(arrays["rerank_epochs"][index]),
                )
            )
        return history

    def write_csv(self, path: pathlib.Path) -> None:
        """Writes the whole history, atomically."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for index, entry in enumerate(self.entries):
            writer.writerow(
                (
                    index,
                    entry.batch,
                    f"{entry.reward:.6f}",
                    f"{entry.accuracy:.6f}",
                    entry.epochs,
                    f"{entry.first_reward:.6f}",
                    entry.status.name.lower(),
                    entry.params,
                    entry.macs,
                    f"{entry.seconds:.2f}",
                    _number(entry.rerank_reward),
                    _number(entry.rerank_accuracy),
                    f"{entry.log_prob:.4f}",
                    entry.one_line,
                )
            )
        write_atomically(path, text.getvalue())


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6f}"


def _key(decisions: np.ndarray) -> bytes:
    return np.asarray(decisions, np.uint8).tobytes()
