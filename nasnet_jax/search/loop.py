"""The search: propose architectures, train children, learn from their rewards, keep the best."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from nasnet_jax.data.remaining import write_left_out
from nasnet_jax.memory import explained_memory
from nasnet_jax.mesh import search_mesh
from nasnet_jax.platform import find_devices, usual_arithmetic
from nasnet_jax.preemption import Preemption, preemption
from nasnet_jax.progress import SearchProgress
from nasnet_jax.report import LiveReport, write_report
from nasnet_jax.run_files import CONFIG_FILE, HISTORY_FILE
from nasnet_jax.search.batch import train_batch
from nasnet_jax.search.checkpoint import SearchCheckpoints
from nasnet_jax.search.child_result import ChildResult
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.search.config import SAVES_MEMORY, check_config, default_config
from nasnet_jax.search.data import load_data
from nasnet_jax.search.effort import Effort
from nasnet_jax.search.going_on import MAY_CHANGE, REASONS, finished_summary
from nasnet_jax.search.history import Entry, History
from nasnet_jax.search.metrics import Metrics
from nasnet_jax.search.proposing import draw
from nasnet_jax.search.references import References, parse_references
from nasnet_jax.search.results import summarize, write_results
from nasnet_jax.search.strategies import make_strategy
from nasnet_jax.search.warm_start import WarmStart, read_warm_start
from nasnet_jax.search.winner import has_model, save_winner
from nasnet_jax.space import canonical_decisions, choices, decision_kinds
from nasnet_jax.workdir import Workdir, of_first_process


@usual_arithmetic()
@explained_memory(SAVES_MEMORY)
def run(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike[str],
    *,
    on_progress: Callable[[SearchProgress], None] = lambda progress: None,
    on_begin: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Runs a search, or resumes it from the last batch that was finished.

    Args:
        config: See `nasnet_jax.search.config.default_config`.
        workdir: A folder, in a pod one that all processes see; gets `history.csv`,
            `best_architecture.json`, `summary.json`, `report.html`, TensorBoard's files,
            checkpoints, and at the end in `model` the winner with its weights.
        on_progress: Told after every compiled call.
        on_begin: Told after compiling, before which the end of the process would lose nothing.

    Returns:
        What is in `summary.json`.

    Raises:
        ValueError: For a configuration that cannot work, before anything is compiled or written.
        MemoryError: Naming the fields that need less, if the devices' or the host's runs out.
        FloatingPointError: If even the best child diverged; all but the model is written then.
        Preempted: If a signal asked the run to end; the same call resumes it.
    """
    check_config(config)
    find_devices()
    strategy = make_strategy(
        config.strategy, choices(config.num_blocks), decision_kinds(config.num_blocks)
    )
    named = parse_references(config)
    place = Workdir(
        workdir, config, defaults=default_config(), may_change=MAY_CHANGE, reasons=REASONS
    )
    folder = place.path
    summary = finished_summary(place, config)
    if summary is not None:
        return summary
    mesh = search_mesh(config.mesh.arch, config.mesh.data)
    started = time.time()
    dataset = load_data(config)
    place.check_data(dataset.fingerprint)
    trainer = ChildTrainer(config, dataset, mesh)
    references = References(named, folder)
    kept = folder if place.has_begun else None
    warm = read_warm_start(config, trainer, dataset.fingerprint, kept=kept)
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
            references=references,
            warm=warm,
            checkpoints=checkpoints,
            metrics=metrics,
            signals=signals,
            on_progress=on_progress,
        )
        if jax.process_index() == 0:
            write_left_out(folder, left_out)
            if config.warm_start and not place.has_begun:
                warm.save(folder)
        search.restore()
        search.effort.seconds["data"] += time.time() - started
        if search.is_unfinished:
            with search.effort.timed("compile"):
                trainer.compile()
        on_begin()
        search.search()
        if not references.are_trained():
            with search.effort.timed("search"):
                references.train(
                    trainer,
                    epochs=config.child.epochs,
                    on_call=lambda share, finished: signals.check(),
                )
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


class Search:
    """A search under way. `run` makes it; its state is what `checkpoints` holds."""

    def __init__(
        self,
        *,
        config: ml_collections.ConfigDict,
        place: Workdir,
        trainer: ChildTrainer,
        strategy: Any,
        references: References,
        warm: WarmStart,
        checkpoints: SearchCheckpoints,
        metrics: Metrics,
        signals: Preemption,
        on_progress: Callable[[SearchProgress], None],
    ) -> None:
        self.config = config
        self.folder = place.path
        self.trainer = trainer
        self.strategy = strategy
        self.state = strategy.init(jax.random.fold_in(jax.random.key(config.seed), 0))
        self.history = History(len(strategy.choices))
        self.step = 0
        self.effort = Effort(trainer)
        self._references = references
        self._warm = warm
        self._checkpoints = checkpoints
        self._metrics = metrics
        self._signals = signals
        self._on_progress = on_progress
        self._place = place
        self._live_report = LiveReport(place.path)

    def restore(self) -> None:
        """Goes back to the newest checkpoint, or learns from other searches if there is none."""
        abstract = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), self.state)
        restored = self._checkpoints.restore(
            abstract,
            epochs=self.config.child.epochs,
            # An earlier version kept them in the configuration alone.
            rerank_epochs=self._place.read(CONFIG_FILE)["rerank"]["epochs"],
        )
        if restored is None:
            size = self.config.children_per_batch
            self.state = self._warm.teach(self.strategy, self.state, size)
            return
        self.step, self.history = restored.step, restored.history
        self.state = jax.tree.map(jnp.asarray, restored.strategy_state)
        self.effort.add(restored.effort)
        self._check_costs()

    def _check_costs(self) -> None:
        """Checks that what was counted before is counted alike now."""
        first = self.history.entries[0]
        counted = self.trainer.budget.cost(first.architecture)
        if (counted.params, counted.macs) != (first.params, first.macs):
            raise ValueError(
                f"The search in {self.folder} began with another network behind reward.network="
                f"{self.config.reward.network!r}: its first child had {first.params:,} parameters and "
                f"has {counted.params:,} now. Choose another --workdir, or give it that network."
            )

    @property
    def is_unfinished(self) -> bool:
        """Whether anything is left to train."""
        if len(self.history) < self.config.num_children or self._to_rerank():
            return True
        return not self._references.are_trained() or not self._has_model()

    def search(self) -> None:
        """Trains the batches that are left."""
        size = self.config.children_per_batch
        begun, first = time.time(), self.history.next_batch(size)
        while len(self.history) < self.config.num_children:
            # The last batch may be cut short.
            left = -(-self.config.num_children // size) - self.history.next_batch(size)
            with self.effort.timed("search"):
                self._batch(first, left, begun)
            # Apart, so that what is saved knows the time of the batch.
            with self.effort.timed("search"):
                self._save()
            # Here too, because a batch of architectures that are all known trains none.
            self._signals.check()

    def _batch(self, first: int, num_left: int, begun: float) -> None:
        """Proposes and trains a batch, or what is left of one that the end of the search cut short.

        Args:
            first: The number of this session's first batch.
            num_left: Batches, this one included.
            begun: When that began.
        """
        config, size = self.config, self.config.children_per_batch
        batch = self.history.next_batch(size)
        begun_children = self.history.of_batch(batch)
        if begun_children and config.halving.rungs:
            # Who goes on is decided among all of a batch.
            self.history.drop(len(begun_children))
            begun_children = []
        state, proposal, refused = draw(
            self.strategy, self.state, size, self.trainer.budget.allowed
        )
        # The last batch may be larger than what is left of the search.
        rest = slice(
            len(begun_children), len(begun_children) + config.num_children - len(self.history)
        )
        rows = canonical_decisions(np.asarray(proposal.decisions[rest]))

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

        log_probs = np.asarray(proposal.log_probs[rest], np.float64).sum(1)
        entries = train_batch(
            config, self.trainer, self.history, self._warm, batch, rows, log_probs, on_call=on_call
        )
        for entry in entries:
            self.history.append(entry)
        of_batch = self.history.of_batch(batch)
        rewards = jnp.array([entry.first_reward for entry in of_batch], jnp.float32)
        metrics: dict[str, jax.Array] = {}
        # A batch that the search's end cuts short teaches nothing, and is proposed again by a search
        # that goes on.
        if len(of_batch) == size:
            self.state, metrics = self.strategy.observe(state, proposal, rewards)
            self.effort.refused += refused
        scalars = {name: float(value) for name, value in metrics.items()}
        scalars |= {
            "reward_mean": float(rewards.mean()),
            "reward_max": float(rewards.max()),
            "reward_best": float(self.history.winner().reward),
            "accuracy_mean": float(np.mean([entry.accuracy for entry in of_batch])),
        }
        self._metrics.write(len(self.history), scalars, np.asarray(rewards), self.history.winner())

    def rerank(self) -> None:
        """Trains the best for longer, in batches, each of which is saved."""
        best = self.history.best(self.config.rerank.top_k)
        for entry in self.history.entries:
            # Those that a longer search has overtaken, so that it ends as one that was never shorter.
            if entry not in best:
                entry.clear_rerank()
        size, left = self.config.children_per_batch, self._to_rerank()
        parts = [left[start : start + size] for start in range(0, len(left), size)]
        first = (len(best) - len(left)) // size
        total, begun = first + len(parts), time.time()
        for number, part in enumerate(parts, first):

            def on_call(
                share: float, finished: Sequence[ChildResult], number: int = number
            ) -> None:
                pace = (time.time() - begun) / (number - first + share)
                self._report("rerank", (number + share) / total, pace * (total - number - share))
                self._signals.check()

            with self.effort.timed("rerank"):
                results = self.trainer.train(
                    [entry.architecture for entry in part],
                    epochs=self.config.rerank.epochs,
                    keep_best=True,
                    on_call=on_call,
                )
            for entry, result in zip(part, results, strict=True):
                entry.set_rerank(result.reward, result.accuracy, self.config.rerank.epochs)
            with self.effort.timed("rerank"):
                self._save()

    def _to_rerank(self) -> list[Entry]:
        """The best that were not trained for so much longer yet."""
        best, epochs = self.history.best(self.config.rerank.top_k), self.config.rerank.epochs
        return [entry for entry in best if entry.rerank_epochs != epochs]

    def _has_model(self) -> bool:
        winner, epochs = self.history.winner().architecture, self.config.rerank.epochs
        return of_first_process(lambda: has_model(self.folder, winner, rerank_epochs=epochs))

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
        with self.effort.timed("rerank"):
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
            SearchProgress(
                phase=phase,
                share=share,
                seconds_left=seconds_left,
                children=children,
                best_reward=max(rewards, default=None),
            )
        )

    def _save(self) -> None:
        self._place.keep()
        self.step += 1
        self._checkpoints.save(self.step, self.state, self.history, self.effort.numbers())
        self.write_results(finished=False)
        if jax.process_index() == 0:
            self._live_report.update()

    def write_results(self, *, finished: bool) -> dict[str, Any]:
        """Writes the history, the best architecture and the summary; returns the summary.

        In a pod the first process writes.
        """
        summary = summarize(self.config, self.history, self.trainer, self.effort, finished=finished)
        if jax.process_index() == 0:
            write_results(self.folder, self.history, summary)
        return summary
