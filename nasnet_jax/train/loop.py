"""The loop of a training: batches, checkpoints, metrics, the test, and where to go on."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
from clu import metric_writers, periodic_actions

from nasnet_jax.checkpoint import CHECKPOINTS
from nasnet_jax.data.remaining import write_left_out
from nasnet_jax.inference.description import ModelDescription, serving_layers
from nasnet_jax.inference.saved_model import MODEL_FOLDER, save_model
from nasnet_jax.memory import explained_memory
from nasnet_jax.mesh import training_mesh
from nasnet_jax.platform import find_devices, usual_arithmetic
from nasnet_jax.preemption import Preempted, Preemption, preemption
from nasnet_jax.progress import TrainProgress
from nasnet_jax.run_files import ARCHITECTURE_FILE, PARAMETERS_FILE, SUMMARY_FILE
from nasnet_jax.space import cost
from nasnet_jax.space.serialization import write_atomically
from nasnet_jax.train.checkpoints import TrainCheckpoints
from nasnet_jax.train.config import (
    SAVES_MEMORY,
    check_config,
    config_macro,
    default_config,
    layer_config,
)
from nasnet_jax.train.evaluation import Evaluation, Evaluator, from_processes
from nasnet_jax.train.going_on import finished_summary, may_change, own_architecture, reasons
from nasnet_jax.train.initialization import Origin
from nasnet_jax.train.input import DeviceFeed, TrainingInput, open_input
from nasnet_jax.train.pace import Pace
from nasnet_jax.train.parameters import write_parameters
from nasnet_jax.train.program import StepMetrics, TrainProgram, TrainState
from nasnet_jax.train.record import Record
from nasnet_jax.workdir import Workdir

PROFILE_AFTER = 10
"""Steps of a session before the profile, so that nothing is compiled in it."""
PROFILE_STEPS = 5


@usual_arithmetic()
@explained_memory(SAVES_MEMORY)
def run(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike[str],
    *,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
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
    find_devices()
    place = Workdir(
        workdir,
        config,
        defaults=default_config(),
        may_change=may_change(config),
        reasons=reasons(config),
    )
    folder = place.path
    architecture = own_architecture(config, place)
    finished = finished_summary(place, config)
    if finished is not None:
        return finished
    macro = config_macro(config)
    origin = Origin.of(config, folder if place.has_begun else None) if config.init_from else None
    settings = config if origin is None else origin.settings(config, architecture)
    mesh = training_mesh(config)
    data = open_input(config, check=place.check_data)
    if origin is not None:
        data = origin.input(data)
    program = TrainProgram(
        settings, architecture, mesh, steps_per_epoch=data.steps_per_epoch(config.batch_size)
    )
    first = program.init if origin is None else origin.first_state(program)
    is_first_process = jax.process_index() == 0
    with place.claimed():
        if is_first_process and not place.has_begun:
            architecture.save(folder / ARCHITECTURE_FILE)
        if is_first_process:
            write_left_out(folder, data.left_out)
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
                place=place,
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
            state, record = checkpoints.restore() or (first(), Record())
            if is_first_process:
                write_parameters(folder / PARAMETERS_FILE, state)
            record = training.train(state, record)
        summary = record.summary(
            batch_size=config.batch_size,
            epochs=config.epochs,
            steps=training.step,
            params=cost(architecture, macro).params,
            architecture=architecture.one_line(),
        )
        if is_first_process:
            write_atomically(folder / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n")
        return summary


class Training:
    """One session of a training, from a state to the end.

    Attributes:
        step: Updates made so far.
        loss: Mean training loss since the last multiple of `config.log_steps`; None before a step.
        best_accuracy: The highest test accuracy so far.
    """

    def __init__(
        self,
        *,
        config: ml_collections.ConfigDict,
        place: Workdir,
        data: TrainingInput,
        program: TrainProgram,
        description: ModelDescription,
        evaluator: Evaluator,
        checkpoints: TrainCheckpoints,
        writer: metric_writers.MetricWriter,
        signals: Preemption,
        on_progress: Callable[[TrainProgress], None],
        on_begin: Callable[[], None],
    ) -> None:
        self.step = 0
        self.loss: float | None = None
        self.best_accuracy = 0.0
        self._config = config
        self._place = place
        self._folder = place.path
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
        self._begun = time.time()
        self._earlier = Record()
        total = program.total_steps
        self._hooks: list[Callable[[int], Any]] = [
            periodic_actions.ReportProgress(num_train_steps=total, writer=writer)
        ]
        self._test_every = max(1, round(config.checkpoint_epochs * program.steps_per_epoch))

    def train(self, state: TrainState, record: Record) -> Record:
        """Makes the steps that are left.

        Args:
            state: To begin with.
            record: Of the sessions before.

        Returns:
            The record of all sessions, evaluated at the end.
        """
        self._begun, self._earlier = time.time(), record
        self.step, self.loss = int(state.step), record.loss
        self.best_accuracy = record.best_accuracy
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
        total = self._program.total_steps
        if self.step == total:
            # Only the end of the session before is missing.
            self._save_model(state)
            return self._record(record.evaluation or self._evaluate(state))
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
            while self.step < total:
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
                self._place.keep()
        return self._record(evaluation)

    def _record(self, evaluation: Evaluation | None) -> Record:
        """What is known after the step that was made last."""
        return Record(
            loss=self.loss,
            evaluation=evaluation,
            best_accuracy=self.best_accuracy,
            seconds=self._earlier.seconds + time.time() - self._begun,
            pace=self._earlier.pace + self._pace.measured,
        )

    def _save_model(self, state: TrainState) -> None:
        save_model(self._folder / MODEL_FOLDER, self._description, *self._program.served(state))

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
            is_best = evaluation.top1 > self.best_accuracy
            self.best_accuracy = max(self.best_accuracy, evaluation.top1)
            self._checkpoints.save(self.step, state, self._record(evaluation))
            if is_last or is_best:
                self._save_model(state)
            self._pace.pause()
        elif stop is not None:
            self._checkpoints.save(self.step, state, self._record(None))
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
        pace = self._pace.measured
        rate = pace.steps_per_second
        images_per_second = (rate or 0.0) * self._config.batch_size
        if pace.waited_share is not None:
            scalars["images_per_second"] = images_per_second
            scalars["input_wait_share"] = pace.waited_share
        if evaluation is not None:
            scalars["test_accuracy"] = evaluation.top1
            scalars["test_top5"] = evaluation.top5
            scalars["test_loss"] = evaluation.loss
        self._writer.write_scalars(self.step, scalars)
        self._writer.flush()
        total = self._program.total_steps
        self._on_progress(
            TrainProgress(
                phase="train",
                share=self.step / total,
                step=self.step,
                steps=total,
                epoch=self.step / self._program.steps_per_epoch,
                epochs=self._config.epochs,
                loss=self.loss,
                test_accuracy=None if evaluation is None else evaluation.top1,
                images_per_second=images_per_second,
                seconds_left=(total - self.step) / rate if rate else None,
            )
        )
