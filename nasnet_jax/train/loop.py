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
from absl import logging
from clu import metric_writers, parameter_overview, periodic_actions
from flax import nnx

from nasnet_jax.inference.description import ModelDescription, serving_layers
from nasnet_jax.inference.saved_model import MODEL_FOLDER, save_model
from nasnet_jax.memory import explained_memory
from nasnet_jax.platform import single_precision
from nasnet_jax.preemption import Preempted, Preemption, preemption
from nasnet_jax.space import Architecture, cost
from nasnet_jax.space.serialization import write_atomically
from nasnet_jax.train.checkpoints import TrainCheckpoints
from nasnet_jax.train.config import (
    SAVES_MEMORY,
    check_config,
    config_architecture,
    config_macro,
    layer_config,
)
from nasnet_jax.train.evaluation import Evaluation, Evaluator, from_processes
from nasnet_jax.train.initialization import Origin
from nasnet_jax.train.input import DeviceFeed, TrainingInput, open_input
from nasnet_jax.train.pace import Pace
from nasnet_jax.train.program import StepMetrics, TrainProgram, TrainState, make_mesh
from nasnet_jax.workdir import claim_workdir

ARCHITECTURE_FILE = "architecture.json"
SUMMARY_FILE = "summary.json"
PARAMETERS_FILE = "parameters.txt"
CHECKPOINTS = "checkpoints"
PROFILE_AFTER = 10
"""Steps of a session before the profile, so that nothing is compiled in it."""
PROFILE_STEPS = 5


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is known after `config.log_steps` steps, and after every evaluation.

    Attributes:
        step: Updates made.
        steps: Updates in all.
        epoch: Epochs made, not always a whole number.
        epochs: Epochs in all.
        loss: Mean training loss since the last multiple of `config.log_steps`, without the weight
            decay.
        test_accuracy: Share of the test images, or None without an evaluation.
        images_per_second: Since the first step of this session.
        seconds_left: Estimated from this session's pace.
    """

    step: int
    steps: int
    epoch: float
    epochs: float
    loss: float
    test_accuracy: float | None
    images_per_second: float
    seconds_left: float


@single_precision()
@explained_memory(SAVES_MEMORY)
def run(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike[str],
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_begin: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Trains an architecture, or goes on from the last checkpoint.

    With several processes, all of them call this.

    Args:
        config: See `nasnet_jax.train.config.default_config`.
        workdir: Gets `config.json`, `architecture.json`, `parameters.txt`, `summary.json`,
            TensorBoard's files, checkpoints, and in `model` the trained network.
        on_progress: Told after every `config.log_steps` steps and after every evaluation.
        on_begin: Told after compiling, before which the end of the process would lose nothing.

    Returns:
        What is in `summary.json`.

    Raises:
        ValueError: For a configuration that cannot work, before anything is compiled or written.
        MemoryError: Naming the fields that need less, if the devices' or the host's runs out.
        FileNotFoundError: If the architecture's file, the data set or the model to start from is
            not there.
        FloatingPointError: If the loss or the gradient is no longer finite.
        OSError: If something could not be written, for example because the disk is full.
        Preempted: If a signal asked the run to end; it is saved, and the same call resumes it.
    """
    check_config(config)
    architecture = config_architecture(config)
    macro = config_macro(config)
    origin = Origin.of(config, workdir) if config.init_from else None
    settings = config if origin is None else origin.settings(config, architecture)
    mesh = make_mesh(config)
    data = open_input(config)
    if origin is not None:
        data = origin.input(data)
    program = TrainProgram(
        settings, architecture, mesh, steps_per_epoch=data.steps_per_epoch(config.batch_size)
    )
    first = program.init if origin is None else origin.first_state(program)
    with claim_workdir(workdir, config) as folder:
        _claim_architecture(folder / ARCHITECTURE_FILE, architecture)
        if origin is not None:
            origin.keep(folder)
        description = ModelDescription(
            architecture=architecture,
            macro=macro,
            preprocessing=data.preprocessing,
            class_names=data.class_names,
            layers=serving_layers(layer_config(settings)),
            config=json.loads(config.to_json_best_effort()),
        )
        is_first_process = jax.process_index() == 0
        checkpoints = TrainCheckpoints(
            folder / CHECKPOINTS,
            program,
            newest=config.checkpoints_to_keep,
            best=config.best_checkpoints_to_keep,
        )
        writer = metric_writers.create_default_writer(folder, just_logging=not is_first_process)
        with checkpoints, contextlib.closing(writer), preemption() as signals:
            training = Training(
                config=config,
                folder=folder,
                data=data,
                program=program,
                description=description,
                evaluator=Evaluator(program.graph, mesh),
                checkpoints=checkpoints,
                writer=writer,
                signals=signals,
                on_progress=on_progress,
                on_begin=on_begin,
            )
            state = checkpoints.restore()
            if state is None:
                state = first()
            if is_first_process:
                _write_parameters(folder / PARAMETERS_FILE, state)
            evaluation = training.train(state)
        summary = {
            "test_accuracy": evaluation.top1,
            "test_top5": evaluation.top5,
            "test_loss": evaluation.loss,
            "test_count": evaluation.count,
            "best_test_accuracy": training.best_accuracy,
            "train_loss": training.loss,
            "epochs": config.epochs,
            "steps": training.step,
            "params": cost(architecture, macro).params,
            "architecture": architecture.one_line(),
            "images_per_second": training.images_per_second and round(training.images_per_second, 2),
            "input_wait_share": training.input_wait_share and round(training.input_wait_share, 4),
            "seconds_this_session": round(training.seconds, 2),
        }
        if is_first_process:
            write_atomically(folder / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n")
        return summary


class Training:
    """One session of a training, from a state to the end.

    Attributes:
        step: Updates made so far.
        loss: Mean training loss since the last multiple of `config.log_steps`; None before a step.
        best_accuracy: The highest test accuracy so far, those of checkpoints that are no longer
            kept left out.
        seconds: That this session's steps took, compilation and evaluations included.
    """

    def __init__(
        self,
        *,
        config: ml_collections.ConfigDict,
        folder: pathlib.Path,
        data: TrainingInput,
        program: TrainProgram,
        description: ModelDescription,
        evaluator: Evaluator,
        checkpoints: TrainCheckpoints,
        writer: metric_writers.MetricWriter,
        signals: Preemption,
        on_progress: Callable[[Progress], None],
        on_begin: Callable[[], None],
    ) -> None:
        self.step = 0
        self.loss: float | None = None
        self.best_accuracy = checkpoints.best_accuracy
        self.seconds = 0.0
        self._config = config
        self._folder = folder
        self._data = data
        self._program = program
        self._description = description
        self._evaluator = evaluator
        self._checkpoints = checkpoints
        self._writer = writer
        self._signals = signals
        self._on_progress = on_progress
        self._on_begin = on_begin
        self._pace = Pace()
        total = program.total_steps
        self._hooks: list[Callable[[int], Any]] = [
            periodic_actions.ReportProgress(num_train_steps=total, writer=writer)
        ]
        self._test_every = max(1, round(config.checkpoint_epochs * program.steps_per_epoch))

    @property
    def images_per_second(self) -> float | None:
        """While steps were made, without compilation and evaluations; None without two steps."""
        return self._pace.steps_per_second and self._pace.steps_per_second * self._config.batch_size

    @property
    def input_wait_share(self) -> float | None:
        """Share of the same time in which the devices waited for images."""
        return self._pace.waited_share

    def train(self, state: TrainState) -> Evaluation:
        """Makes the steps that are left and returns the last evaluation."""
        begun = time.time()
        self.step = int(state.step)
        if self._config.profile:
            self._hooks.append(
                periodic_actions.Profile(
                    logdir=self._folder,
                    first_profile=self.step + PROFILE_AFTER,
                    num_profile_steps=PROFILE_STEPS,
                    profile_duration_ms=None,
                    every_secs=None,
                )
            )
        evaluation: Evaluation | None = None
        # All that takes long to compile, before there are steps to lose.
        preprocessing = self._data.preprocessing
        self._evaluator.compile(
            *self._program.served(state),
            batch_size=self._config.batch_size,
            image_shape=(*preprocessing.image_size, preprocessing.channels),
        )
        batches = self._data.train_batches(self._config, start_step=self.step)

        def put(batch: dict[str, Any]) -> dict[str, jax.Array]:
            return from_processes(self._program.by_example, batch)

        with DeviceFeed(batches, put) as feed:
            metrics: StepMetrics | None = None
            while self.step < self._program.total_steps:
                batch = feed.next(None if metrics is None else metrics.loss)
                earlier = metrics
                state, metrics = self._program.update(
                    state, batch["image"], batch["label"], self._program.randomness
                )
                self.step += 1
                # One step behind, so that the devices always have work.
                if earlier is None:
                    self._on_begin()
                else:
                    self._check(self.step - 1, earlier)
                evaluation = self._after_step(state, metrics, feed)
        self.seconds = time.time() - begun
        return evaluation or self._evaluate(state)

    def _after_step(
        self, state: TrainState, metrics: StepMetrics, feed: DeviceFeed
    ) -> Evaluation | None:
        """Does what is due after a step; returns the evaluation if that was due."""
        # Not only at the next save, which may be hours away.
        self._checkpoints.check()
        is_last = self.step == self._program.total_steps
        tests = is_last or self.step % self._test_every == 0
        stop = self._stop()
        logs = tests or self.step % self._config.log_steps == 0
        if stop is not None or logs:
            self._check(self.step, metrics)
            self.loss = float(metrics.loss_mean)
        self._pace.stepped(feed.seconds_waited)
        for hook in self._hooks:
            hook(self.step)
        evaluation = None
        if tests:
            evaluation = self._evaluate(state)
            self._checkpoints.save(self.step, state, evaluation.top1)
            if is_last or evaluation.top1 > self.best_accuracy:
                model = self._folder / MODEL_FOLDER
                save_model(model, self._description, *self._program.served(state))
            self.best_accuracy = max(self.best_accuracy, evaluation.top1)
            self._pace.pause()
        elif stop is not None:
            self._checkpoints.save(self.step, state)
        if logs:
            self._report(evaluation)
        if stop is not None and not is_last:
            raise stop
        return evaluation

    def _check(self, step: int, metrics: StepMetrics) -> None:
        """Raises FloatingPointError if the step was not a step of finite numbers."""
        loss, norm = float(metrics.loss), float(metrics.gradient_norm)
        if math.isfinite(loss) and math.isfinite(norm):
            return
        latest = self._checkpoints.latest
        raise FloatingPointError(
            f"Step {step} has the loss {loss} and a gradient of norm {norm}. The last good checkpoint "
            f"is {'none' if latest is None else f'that of step {latest}'}. Lower "
            "optimizer.learning_rate and start in another --workdir."
        )

    def _stop(self) -> Preempted | None:
        """The request to end, if one has come."""
        try:
            self._signals.check()
        except Preempted as stop:
            return stop
        return None

    def _evaluate(self, state: TrainState) -> Evaluation:
        parameters, statistics = self._program.served(state)
        batches = self._data.test_batches(self._config.batch_size)
        return self._evaluator(parameters, statistics, batches)

    def _report(self, evaluation: Evaluation | None) -> None:
        assert self.loss is not None
        scalars = {
            "train_loss": self.loss,
            "learning_rate": float(self._program.schedule(self.step - 1)),
        }
        if self.images_per_second is not None and self.input_wait_share is not None:
            scalars["images_per_second"] = self.images_per_second
            scalars["input_wait_share"] = self.input_wait_share
        if evaluation is not None:
            scalars["test_accuracy"] = evaluation.top1
            scalars["test_top5"] = evaluation.top5
            scalars["test_loss"] = evaluation.loss
        self._writer.write_scalars(self.step, scalars)
        self._writer.flush()
        total = self._program.total_steps
        rate = self._pace.steps_per_second
        self._on_progress(
            Progress(
                step=self.step,
                steps=total,
                epoch=self.step / self._program.steps_per_epoch,
                epochs=self._config.epochs,
                loss=self.loss,
                test_accuracy=None if evaluation is None else evaluation.top1,
                images_per_second=self.images_per_second or 0.0,
                seconds_left=(total - self.step) / rate if rate else math.nan,
            )
        )


def _claim_architecture(path: pathlib.Path, architecture: Architecture) -> None:
    """Writes the architecture, or sees that it is the one the training began with."""
    if path.exists():
        if Architecture.load(path) != architecture:
            raise ValueError(
                f"This training began with the architecture in {path}, but config.architecture now "
                "names another one: its file has changed. Choose another --workdir."
            )
    elif jax.process_index() == 0:
        architecture.save(path)


def _write_parameters(path: pathlib.Path, state: TrainState) -> None:
    """Writes the table of the parameters, with shapes, means and deviations."""
    parameters = nnx.to_pure_dict(state.parameters)
    table = parameter_overview.get_parameter_overview(_with_text_keys(parameters))
    logging.info("%s", table)
    write_atomically(path, table + "\n")


def _with_text_keys(tree: Any) -> Any:
    """Cells and blocks are numbered, and clu joins names."""
    if isinstance(tree, dict):
        return {str(name): _with_text_keys(value) for name, value in tree.items()}
    return tree
