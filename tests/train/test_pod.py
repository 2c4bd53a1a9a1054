"""Training and evaluation on pods of real processes.

A start of a pod is mostly imports, ten seconds a process and core, so each start shows several things.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tiny_training
from flax import nnx
from jax.sharding import Mesh, SingleDeviceSharding
from pods import member, on_full_disk_of, pod_command, started

from nasnet_jax.inference import ModelDescription, Preprocessing, save_model
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.preemption import EXIT_CODE
from nasnet_jax.progress import TrainProgress
from nasnet_jax.train import loop, run
from nasnet_jax.train.config import config_architecture, config_macro
from nasnet_jax.train.measure import evaluate

LIMIT = 200
"""Seconds that one pod may take."""
EPOCH = tiny_training.STEPS_PER_EPOCH


def train_command(workdir: Path, model: Path, *, grace: float = 10) -> list[str]:
    flags = [f"--config={tiny_training.__file__}", f"--config.init_from={model}"]
    flags.append(f"--workdir={workdir}")
    return pod_command("nasnet_jax.train", *flags, processes=2, devices=2, grace=grace)


def saved(workdir: Path, step: int) -> Callable[[], bool]:
    """Whether the checkpoint of a step is whole."""
    return lambda: (workdir / "checkpoints" / str(step) / "_CHECKPOINT_METADATA").exists()


def steps_of(workdir: Path) -> list[int]:
    """The numbers of the checkpoints."""
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


def state_of(workdir: Path, step: int) -> Any:
    folder = workdir / "checkpoints" / str(step) / "default"
    here = SingleDeviceSharding(jax.devices()[0])
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        return checkpointer.restore(folder, args=ocp.args.StandardRestore(fallback_sharding=here))


def distance(first: Any, second: Any) -> float:
    """The norm of the difference of two states' real numbers."""

    def square(a: jax.Array, b: jax.Array) -> float:
        if not jnp.issubdtype(a.dtype, jnp.inexact):
            return 0.0
        return float(np.sum(np.square(np.asarray(a, np.float64) - np.asarray(b, np.float64))))

    return float(np.sqrt(sum(jax.tree.leaves(jax.tree.map(square, first, second)))))


def assert_same_training(workdir: Path, alone: Path, step: int, goal: int) -> None:
    """Equal but for the order of sums, whose last bits grow from step to step.

    Measured by what an epoch of six steps changes: one step more or less, or a step on other
    images, is a tenth of that or more. 4e-7 of it was seen.
    """
    expected = state_of(alone, step)
    epoch = distance(state_of(alone, goal), state_of(alone, goal - EPOCH))
    assert int(state_of(workdir, step)["step"]) == int(expected["step"]) == step
    assert distance(state_of(workdir, step), expected) < 0.02 * epoch


class Enough(Exception):
    """Ends a training in this process."""


def train_here(workdir: Path, model: Path, last: int) -> None:
    """Trains in this process, or goes on, up to the checkpoint of a step."""
    config = tiny_training.get_config()
    config.init_from = str(model)

    def stop(progress: TrainProgress) -> None:
        if progress.step == last:
            raise Enough

    with pytest.raises(Enough):
        run(config, workdir, on_progress=stop)


@pytest.fixture(scope="module")
def model(
    random_network: Callable[[ModelDescription], NASNet], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the trainings start from: of seven classes, so that they also make a new head."""
    config = tiny_training.get_config()
    config.dataset.num_classes = 7
    description = ModelDescription(
        architecture=config_architecture(config),
        macro=config_macro(config),
        preprocessing=Preprocessing.cifar((8, 8), 1),
    )
    network = random_network(description)
    folder = tmp_path_factory.mktemp("model") / "random"
    save_model(
        folder, description, nnx.state(network, nnx.Param), nnx.state(network, nnx.BatchStat)
    )
    return folder


@pytest.fixture(scope="module")
def told_to_end(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a pod of two processes, undisturbed until one of them was told to end."""
    workdir = tmp_path_factory.mktemp("pod") / "run"
    command = train_command(workdir, model)
    with started(command, until=saved(workdir, EPOCH), limit=LIMIT) as pod:
        os.kill(member(pod, 1), signal.SIGTERM)
        output, _ = pod.communicate(timeout=LIMIT)
    assert pod.returncode == EXIT_CODE, output[-3000:]
    for number in (0, 1):
        assert f"[{number}] The run was ended by SIGTERM" in output
    return workdir


@pytest.fixture(scope="module")
def goal(told_to_end: Path) -> int:
    """The first checkpoint at the end of an epoch that is still to come."""
    return (steps_of(told_to_end)[-1] // EPOCH + 1) * EPOCH


@pytest.fixture(scope="module")
def alone(goal: int, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a training in this process on four devices, which nothing disturbed."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    train_here(workdir, model, goal)
    return workdir


@pytest.mark.timeout(300)
def test_two_processes_train_as_one_does_on_as_many_devices(
    told_to_end: Path, alone: Path, goal: int
) -> None:
    assert_same_training(told_to_end, alone, EPOCH, goal)


@pytest.mark.timeout(300)
def test_the_same_command_goes_on_and_ctrl_c_ends_it_in_order(
    told_to_end: Path, alone: Path, model: Path, goal: int, tmp_path: Path
) -> None:
    workdir = shutil.copytree(told_to_end, tmp_path / "run")
    command = train_command(workdir, model)
    with started(command, until=saved(workdir, goal), limit=LIMIT) as pod:
        pod.send_signal(signal.SIGINT)
        output, _ = pod.communicate(timeout=LIMIT)
    assert pod.returncode == EXIT_CODE, output[-3000:]
    assert "Traceback" not in output
    for number in (0, 1):
        assert f"[{number}] The run was ended by SIGINT. The same command resumes it." in output
    assert f"[0] step {EPOCH}/" not in output
    assert_same_training(workdir, alone, goal, goal)


@pytest.mark.timeout(300)
def test_a_full_disk_of_one_process_ends_the_pod_and_loses_nothing(
    told_to_end: Path, model: Path, goal: int, tmp_path: Path
) -> None:
    """The other process can write, and waits for the part of the one that cannot."""
    workdir = shutil.copytree(told_to_end, tmp_path / "run")
    done = subprocess.run(
        on_full_disk_of(1, train_command(workdir, model, grace=2)),
        timeout=90, capture_output=True, text=True, check=False,
    )  # fmt: skip
    end = done.stdout[-3000:]
    assert done.returncode not in (0, EXIT_CODE), end
    place = rf"{re.escape(str(workdir))}/(checkpoints|model) could not be written: .*File too large"
    # Not at the beginning of a line, where other threads may have written.
    assert re.search(rf"^\[1\] .*Error: .* in {place}", done.stdout, re.MULTILINE), end
    assert not saved(workdir, goal)()
    for step in steps_of(told_to_end):
        jax.tree.map(
            np.testing.assert_array_equal, *(state_of(w, step) for w in (told_to_end, workdir))
        )
    train_here(workdir, model, goal)
    assert saved(workdir, goal)()


@pytest.mark.timeout(300)
def test_one_process_on_two_devices_goes_on_with_the_training_of_two_on_four(
    told_to_end: Path,
    alone: Path,
    model: Path,
    goal: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workdir = shutil.copytree(told_to_end, tmp_path / "run")
    two = Mesh(np.array(jax.devices()[:2]), ("data",))
    monkeypatch.setattr(loop, "training_mesh", lambda config: two)
    train_here(workdir, model, goal)
    assert_same_training(workdir, alone, goal, goal)


@pytest.mark.timeout(300)
def test_a_pod_evaluates_each_image_once(told_to_end: Path) -> None:
    """360 images are no multiple of the batch, so both processes fill up their last one."""
    flags = [f"--checkpoint={told_to_end}", "--dataset=digits", "--batch_size=100", "--json"]
    done = subprocess.run(
        pod_command("nasnet_jax.evaluate", *flags, processes=2, devices=2),
        timeout=LIMIT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("[0] {")]
    found, expected = json.loads(line[4:]), evaluate(told_to_end, "digits")
    assert found["count"] == expected.count == 360
    assert found["top1"] == expected.top1 and found["top5"] == expected.top5
    assert found["loss"] == pytest.approx(expected.loss, rel=1e-5)
