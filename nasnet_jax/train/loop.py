"""The loop of a training: batches, checkpoints, metrics, the test, and where to go on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from clu import metric_writers

from nasnet_jax.data import Dataset, load_arrays
from nasnet_jax.preemption import Preempted, Preemption, preemption
from nasnet_jax.space import Architecture, cost, parse_architecture
from nasnet_jax.space.serialization import write_atomically
from nasnet_jax.train.config import check_config, train_macro
from nasnet_jax.train.optimizer import learning_rate_schedule
from nasnet_jax.train.program import TrainProgram, TrainState, make_mesh
from nasnet_jax.workdir import claim_workdir

ARCHITECTURE_FILE = "architecture.json"
SUMMARY_FILE = "summary.json"
CHECKPOINTS = "checkpoints"


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is known after an epoch.

    Attributes:
        epoch: Epochs finished.
        epochs: Epochs in all.
        loss: Mean training loss of the epoch, without the weight decay.
        test_accuracy: Share of the test images, or None after an epoch without evaluation.
        seconds_left: Estimated from this session's pace, compilation included.
    """

    epoch: int
    epochs: int
    loss: float
    test_accuracy: float | None
    seconds_left: float


def run(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike[str],
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Trains an architecture, or goes on from the last checkpoint.

    Args:
        config: See `nasnet_jax.train.config.default_config`.
        workdir: Gets `config.json`, `architecture.json`, `summary.json`, TensorBoard's files and
            checkpoints.
        on_progress: Told after every epoch.

    Returns:
        What is in `summary.json`.

    Raises:
        ValueError: For a configuration that cannot work, before anything is compiled or written.
        FileNotFoundError: If the architecture's file or the data set is not there.
        FloatingPointError: If the loss is no longer a finite number.
        Preempted: If a signal asked the run to end; it is saved, and the same call resumes it.
    """
    check_config(config)
    architecture = parse_architecture(config.architecture)
    dataset = load_arrays(
        config.dataset.name,
        data_dir=config.dataset.data_dir or None,
        image_size=config.dataset.image_size or None,
    )
    if config.batch_size > len(dataset.train_images):
        raise ValueError(
            f"batch_size is {config.batch_size}, but data set {dataset.name!r} has only "
            f"{len(dataset.train_images)} training images."
        )
    macro = train_macro(config, dataset)
    folder = claim_workdir(workdir, config)
    _claim_architecture(folder / ARCHITECTURE_FILE, architecture)
    options = ocp.CheckpointManagerOptions(max_to_keep=config.checkpoints_to_keep, create=True)
    checkpoints = ocp.CheckpointManager(folder / CHECKPOINTS, options=options)
    writer = metric_writers.create_default_writer(folder)
    with contextlib.closing(checkpoints), contextlib.closing(writer), preemption() as signals:
        program = TrainProgram(config, architecture, dataset, make_mesh(config))
        training = Training(config, dataset, program, checkpoints, writer, signals)
        accuracy = training.train(on_progress)
    summary = {
        "test_accuracy": accuracy,
        "train_loss": training.loss,
        "epochs": config.epochs,
        "steps": training.step,
        "params": cost(architecture, macro).params,
        "architecture": architecture.one_line(),
        "seconds_this_session": round(training.seconds, 2),
    }
    write_atomically(folder / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n")
    return summary


class Training:
    """One session of a training: its state, and how it goes on to the end."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        dataset: Dataset,
        program: TrainProgram,
        checkpoints: ocp.CheckpointManager,
        writer: metric_writers.MetricWriter,
        signals: Preemption,
    ) -> None:
        self.config = config
        self.seconds = 0.0
        self._dataset = dataset
        self._program = program
        self._checkpoints = checkpoints
        self._writer = writer
        self._signals = signals
        self._schedule = learning_rate_schedule(config, config.epochs * program.steps_per_epoch)
        self._state = self._restored() or program.init()

    def _restored(self) -> TrainState | None:
        step = self._checkpoints.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._program.replicated),
            jax.eval_shape(self._program.init),
        )
        logging.info("Going on from the checkpoint of step %d.", step)
        return self._checkpoints.restore(step, args=ocp.args.StandardRestore(abstract))

    @property
    def step(self) -> int:
        """Updates made so far."""
        return int(self._state.step)

    @property
    def loss(self) -> float:
        """Mean training loss of the epoch that has just been finished."""
        return float(self._state.loss_sum) / self._program.steps_per_epoch

    def train(self, on_progress: Callable[[Progress], None]) -> float:
        """Makes the steps that are left and returns the share of test images that is right."""
        config, begun, first = self.config, time.time(), self.step
        per_epoch = self._program.steps_per_epoch
        total = config.epochs * per_epoch
        accuracy: float | None = None
        for step in range(first, total):
            try:
                self._signals.check()
            except Preempted:
                self._save(step)
                raise
            self._state = self._program.update(self._state, *self._put(*self._batch(step)))
            epoch, rest = divmod(step + 1, per_epoch)
            if rest:
                continue
            if not math.isfinite(self.loss):
                raise FloatingPointError(
                    f"The loss is {self.loss} after step {step + 1}. The last good checkpoint is "
                    f"{self._checkpoints.latest_step() or 'none'}. Lower learning_rate and start "
                    "in another --workdir."
                )
            accuracy = None
            if epoch % config.checkpoint_epochs == 0 or epoch == config.epochs:
                self._save(step + 1)
                accuracy = self._test()
            self._write(step + 1, accuracy)
            left = (time.time() - begun) / (step + 1 - first) * (total - step - 1)
            on_progress(Progress(epoch, config.epochs, self.loss, accuracy, left))
        self.seconds = time.time() - begun
        return self._test() if accuracy is None else accuracy

    def _batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels of a step, which depend on the seed and the step alone."""
        epoch, place = divmod(step, self._program.steps_per_epoch)
        order = np.random.default_rng((self.config.seed, epoch)).permutation(
            len(self._dataset.train_images)
        )
        size = self.config.batch_size
        chosen = order[place * size : (place + 1) * size]
        return self._dataset.train_images[chosen], self._dataset.train_labels[chosen]

    def _put(self, images: np.ndarray, labels: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return jax.device_put((images, labels), self._program.by_example)

    def _test(self) -> float:
        """The share of the test images that is classified rightly; each is counted once."""
        size, number = self.config.batch_size, len(self._dataset.test_images)
        right = 0
        for start in range(0, number, size):
            images = self._dataset.test_images[start : start + size]
            labels = self._dataset.test_labels[start : start + size]
            missing = size - len(images)
            images = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0)))
            labels = np.pad(labels, (0, missing), constant_values=-1)
            right += int(self._program.evaluate(self._state, *self._put(images, labels)))
        return right / number

    def _save(self, step: int) -> None:
        if self._checkpoints.latest_step() == step:
            return
        self._checkpoints.save(step, args=ocp.args.StandardSave(self._state))
        # The next update reuses the buffers, and a signal may end the process.
        self._checkpoints.wait_until_finished()

    def _write(self, step: int, accuracy: float | None) -> None:
        scalars = {"train_loss": self.loss, "learning_rate": float(self._schedule(step))}
        if accuracy is not None:
            scalars["test_accuracy"] = accuracy
        self._writer.write_scalars(step, scalars)
        self._writer.flush()


def _claim_architecture(path: pathlib.Path, architecture: Architecture) -> None:
    """Writes the architecture, or sees that it is the one the training began with."""
    if not path.exists():
        architecture.save(path)
    elif Architecture.load(path) != architecture:
        raise ValueError(
            f"This training began with the architecture in {path}, but config.architecture now "
            "names another one: its file has changed. Choose another --workdir."
        )
