"""The search: propose architectures, train children, learn from their rewards, keep the best."""

from __future__ import annotations

import contextlib
import operator
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from nasnet_jax.data.remaining import write_left_out
from nasnet_jax.memory import explained_memory
from nasnet_jax.platform import find_devices, usual_arithmetic
from nasnet_jax.preemption import Preemption, preemption
from nasnet_jax.report import LiveReport, write_report
from nasnet_jax.search.batch import train_batch
from nasnet_jax.search.checkpoint import SearchCheckpoints
from nasnet_jax.search.child_trainer import ChildResult, ChildTrainer, make_mesh
from nasnet_jax.search.config import SAVES_MEMORY, check_config, default_config
from nasnet_jax.search.data import load_data
from nasnet_jax.search.history import Entry, History
from nasnet_jax.search.metrics import Metrics
from nasnet_jax.search.progress import Progress
from nasnet_jax.search.proposing import draw
from nasnet_jax.search.results import HISTORY_FILE, SUMMARY_FILE, summarize, write_results
from nasnet_jax.search.strategy import make_strategy
from nasnet_jax.search.winner import has_model, save_winner
from nasnet_jax.space import Architecture, canonical_decisions, choices, decision_kinds
from nasnet_jax.workdir import MayChange, Workdir, always, of_first_process

_MAY_CHANGE: MayChange = {
    "num_children": operator.le,
    "checkpoints_to_keep": always,
    "mesh.arch": always,
}


@usual_arithmetic()
@explained_memory(SAVES_MEMORY)
def run(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike[str],
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_begin: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Runs a search, or resumes it from the last batch that was finished.

    Args:
      config: see `nasnet_jax.search.config.default_config`.
      workdir: a folder, in a pod one that all processes see; gets `history.csv`,
        `best_architecture.json`, `summary.json`, `report.html`, TensorBoard's files,
        checkpoints, and at the end in `model` the winner with its weights.
      on_progress: told after every compiled call.
      on_begin: told after compiling, before which the end of the process would lose nothing.

    Returns:
      What is in `summary.json`.

    Raises:
      ValueError: for a configuration that cannot work, before anything is compiled or written.
      MemoryError: naming the fields that need less, if the devices' or the host's runs out.
      FloatingPointError: if even the best child diverged; all but the model is written then.
      Preempted: if a signal asked the run to end; the same call resumes it.
    """
    check_config(config)
    find_devices()
    strategy = make_strategy(
        config.strategy, choices(config.num_blocks), decision_kinds(config.num_blocks)
    )
    place = Workdir(workdir, config, defaults=default_config(), may_change=_MAY_CHANGE)
    folder = place.path
    summary = _finished(place, config)
    if summary is not None:
        return summary
    mesh = make_mesh(config.mesh.arch, config.mesh.data)
    started = time.time()
    dataset = load_data(config)
    place.check_data(dataset.fingerprint)
    trainer = ChildTrainer(config, dataset, mesh)
    left_out = dataset.left_out
    del dataset  # The trainer has what it needs of it.
    with (
        place.claimed(),
        contextlib.closing(
            SearchCheckpoints(folder, keep=config.checkpoints_to_keep)
        ) as checkpoints,
        contextlib.closing(Metrics(folder, config)) as metrics,
        preemption() as signals,
    ):
        search = Search(
            config=config,
            place=place,
            trainer=trainer,
            strategy=strategy,
            checkpoints=checkpoints,
            metrics=metrics,
            signals=signals,
            on_progress=on_progress,
        )
        if jax.process_index() == 0:
            write_left_out(folder, left_out)
        search.restore()
        search.seconds["data"] += time.time() - started
        if search.is_unfinished:
            with search.timed("compile"):
                trainer.compile()
        on_begin()
        search.search()
        search.rerank()
        diverged: FloatingPointError | None = None
        try:
            search.save_winner()
        except FloatingPointError as error:
            diverged = error
        # First what was found, which tells why there is no model.
        summary = search.write_results(finished=True)
        if jax.process_index() == 0:
            write_report(folder)
        if diverged is not None:
            raise FloatingPointError(
                f"{diverged} No model was written; {summary['diverged']} of {summary['children']} "
                f"children diverged, which {folder / HISTORY_FILE} lists. Lower child.learning_rate "
                "and start in another --workdir."
            ) from diverged
        return summary


def _finished(place: Workdir, config: ml_collections.ConfigDict) -> dict[str, Any] | None:
    """The summary of a search that is there and has nothing left to do."""

    def has_nothing_left() -> bool:
        if not (place.path / SUMMARY_FILE).exists():
            return False
        summary = place.read(SUMMARY_FILE)
        if not summary["finished"] or summary["children"] < config.num_children:
            return False
        return has_model(place.path, Architecture.from_one_line(summary["best_architecture"]))

    if not of_first_process(has_nothing_left):
        return None
    if jax.process_index() == 0:
        logging.warning("The search in %s is finished; nothing is left to do.", place.path)
    return place.read(SUMMARY_FILE)


class Search:
    """A search under way. `run` makes it; its state is what `checkpoints` holds."""

    def __init__(
        self,
        *,
        config: ml_collections.ConfigDict,
        place: Workdir,
        trainer: ChildTrainer,
        strategy: Any,
        checkpoints: SearchCheckpoints,
        metrics: Metrics,
        signals: Preemption,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.config = config
        self.folder = place.path
        self.trainer = trainer
        self.strategy = strategy
        self.state = strategy.init(jax.random.fold_in(jax.random.key(config.seed), 0))
        self.history = History(len(strategy.choices))
        self.step = 0
        self.refused = 0
        self.seconds = {"data": 0.0, "compile": 0.0, "search": 0.0, "rerank": 0.0}
        self._checkpoints = checkpoints
        self._metrics = metrics
        self._signals = signals
        self._on_progress = on_progress
        self._place = place
        self._live_report = LiveReport(place.path)

    def restore(self) -> None:
        """Goes back to the newest checkpoint, if there is one."""
        abstract = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), self.state)
        restored = self._checkpoints.restore(abstract)
        if restored is None:
            return
        self.step, self.history = restored.step, restored.history
        self.state = jax.tree.map(jnp.asarray, restored.strategy_state)
        effort = restored.effort
        for phase in self.seconds:
            self.seconds[phase] += effort.get(phase, 0.0)
        self.refused += int(effort.get("refused", 0))
        self.trainer.compilations += int(effort.get("compilations", 0))
        self.trainer.busy_seconds += effort.get("busy", 0.0)
        self.trainer.device_seconds += effort.get("devices", 0.0)

    def _effort(self) -> dict[str, float]:
        """What the search took so far, in all sessions."""
        return {
            **self.seconds,
            "refused": self.refused,
            "compilations": self.trainer.compilations,
            "busy": self.trainer.busy_seconds,
            "devices": self.trainer.device_seconds,
        }

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the time that the block takes to a phase."""
        started = time.time()
        try:
            yield
        finally:
            self.seconds[phase] += time.time() - started

    @property
    def is_unfinished(self) -> bool:
        """Whether anything is left to train."""
        if len(self.history) < self.config.num_children or self._to_rerank():
            return True
        return not self._has_model()

    def search(self) -> None:
        """Trains the batches that are left."""
        size = self.config.children_per_batch
        begun, first = time.time(), self.history.num_batches
        while len(self.history) < self.config.num_children:
            # The last batch may be cut short.
            left = -(-(self.config.num_children - len(self.history)) // size)
            with self.timed("search"):
                self._batch(first, left, begun)
            # Apart, so that what is saved knows the time of the batch.
            with self.timed("search"):
                self._save()
            # Here too, because a batch of architectures that are all known trains none.
            self._signals.check()

    def _batch(self, first: int, num_left: int, begun: float) -> None:
        """Proposes and trains a batch.

        Args:
          first: the number of this session's first batch.
          num_left: batches, this one included.
          begun: when that began.
        """
        config, batch = self.config, self.history.num_batches
        state, proposal, refused = draw(
            self.strategy, self.state, config.children_per_batch, self.trainer.budget.allowed
        )
        self.refused += refused
        # The last batch may be larger than what is left of the search.
        left = config.num_children - len(self.history)
        rows = canonical_decisions(np.asarray(proposal.decisions[:left]))

        def on_call(share: float, finished: Sequence[ChildResult]) -> None:
            done = batch - first + share
            pace = (time.time() - begun) / done
            self._report(
                "search",
                (batch + share) / (batch + num_left),
                pace * (num_left - share),
                finished,
            )
            self._signals.check()

        log_probs = np.asarray(proposal.log_probs[:left], np.float64).sum(1)
        entries = train_batch(
            config, self.trainer, self.history, batch, rows, log_probs, on_call=on_call
        )
        rewards = jnp.array([entry.reward for entry in entries], jnp.float32)
        metrics: dict[str, jax.Array] = {}
        # A batch that the search's end cuts short teaches nothing: nothing is proposed after it.
        if len(entries) == config.children_per_batch:
            self.state, metrics = self.strategy.observe(state, proposal, rewards)
        for entry in entries:
            self.history.append(entry)
        scalars = {name: float(value) for name, value in metrics.items()}
        scalars |= {
            "reward_mean": float(rewards.mean()),
            "reward_max": float(rewards.max()),
            "reward_best": float(self.history.winner().reward),
            "accuracy_mean": float(np.mean([entry.accuracy for entry in entries])),
        }
        self._metrics.write(len(self.history), scalars, np.asarray(rewards), self.history.winner())

    def rerank(self) -> None:
        """Trains the best for longer, in batches, each of which is saved."""
        size, left = self.config.children_per_batch, self._to_rerank()
        parts = [left[start : start + size] for start in range(0, len(left), size)]
        done = len(self.history.best(self.config.rerank.top_k)) - len(left)
        first = done // size
        total, begun = first + len(parts), time.time()
        for number, part in enumerate(parts, first):

            def on_call(
                share: float, finished: Sequence[ChildResult], number: int = number
            ) -> None:
                pace = (time.time() - begun) / (number - first + share)
                self._report("rerank", (number + share) / total, pace * (total - number - share))
                self._signals.check()

            with self.timed("rerank"):
                results = self.trainer.train(
                    [entry.architecture for entry in part],
                    epochs=self.config.rerank.epochs,
                    keep_best=True,
                    on_call=on_call,
                )
            for entry, result in zip(part, results, strict=True):
                entry.rerank_reward = result.reward
                entry.rerank_accuracy = result.accuracy
            with self.timed("rerank"):
                self._save()

    def _to_rerank(self) -> list[Entry]:
        """The best that were not trained for longer yet."""
        best = self.history.best(self.config.rerank.top_k)
        return [entry for entry in best if np.isnan(entry.rerank_reward)]

    def _has_model(self) -> bool:
        winner = self.history.winner().architecture
        return of_first_process(lambda: has_model(self.folder, winner))

    def save_winner(self) -> None:
        """Writes the winner's model, unless it is there; that of an earlier winner is replaced.

        Its weights are those that its re-ranking ended with. If that was in an earlier session, or
        nothing was re-ranked, it is trained once more, which gives the same weights.
        """
        if self._has_model():
            return
        entry = self.history.winner()
        architecture = entry.architecture.canonical()
        best = self.trainer.best
        with self.timed("rerank"):
            if best is None or best.architecture != architecture:
                self.trainer.best = None
                part = self.config.child if np.isnan(entry.rerank_reward) else self.config.rerank
                self.trainer.train(
                    [architecture],
                    epochs=part.epochs,
                    keep_best=True,
                    on_call=lambda share, finished: self._signals.check(),
                )
                best = self.trainer.best
            assert best is not None
            save_winner(self.folder, self.config, self.trainer, best)

    def _report(
        self,
        phase: str,
        share: float,
        seconds_left: float,
        finished: Sequence[ChildResult] = (),
    ) -> None:
        rewards = [result.reward for result in finished]
        if self.history.best_reward is not None:
            rewards.append(self.history.best_reward)
        children = len(self.history) + len(finished)
        self._on_progress(
            Progress(phase, share, seconds_left, children, max(rewards, default=None))
        )

    def _save(self) -> None:
        self._place.keep()
        self.step += 1
        self._checkpoints.save(self.step, self.state, self.history, self._effort())
        self.write_results(finished=False)
        if jax.process_index() == 0:
            self._live_report.update()

    def write_results(self, *, finished: bool) -> dict[str, Any]:
        """Writes the history, the best architecture and the summary; returns the summary.

        In a pod the first process writes.
        """
        summary = summarize(
            self.history,
            self.trainer,
            seconds=self.seconds,
            refused=self.refused,
            finished=finished,
        )
        if jax.process_index() == 0:
            write_results(self.folder, self.history, summary)
        return summary
