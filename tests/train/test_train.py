from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from nasnet_jax.inference.saved_model import read_model
from nasnet_jax.lock import locked
from nasnet_jax.preemption import Preempted
from nasnet_jax.run_files import LOCK_FILE
from nasnet_jax.space import Architecture
from nasnet_jax.train import default_config, loop, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = "normal: conv_1x1(0)+identity(1); reduction: sep_conv_3x3(0)++max_pool_3x3(1)"
STEPS = round(4 * 1437 / 256)


def make_config():
    config = default_config()
    config.architecture = SMALL
    config.batch_size = 256
    config.epochs = 4
    config.aux_weight = 0.0
    config.ema_decay = 0.9
    config.log_steps = 5
    config.checkpoint_epochs = 2
    config.dataset.name = "digits"
    config.dataset.image_size = 8
    config.dataset.channels = 1
    config.model.num_cells = 1
    config.model.num_filters = 4
    config.model.num_reductions = 1
    config.drop_path.final_drop_prob = 0.1
    config.batch_norm.group_size = 64
    config.augment.crop_padding = 0
    config.augment.flip = False
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A training that ran to its end: its workdir, its summary and what it told on the way."""
    folder, told = tmp_path_factory.mktemp("finished") / "run", []
    config = make_config()
    config.profile = True
    summary = run(config, folder, on_progress=told.append)
    return folder, summary, told


def checkpoint_of(folder, step):
    path = folder / "checkpoints" / str(step) / "default"
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path)


def test_it_learns_and_writes_what_it_did(finished):
    folder, summary, told = finished
    assert [progress.step for progress in told] == [5, 10, 11, 15, 20, STEPS]
    assert told[-1].loss < told[0].loss
    assert told[-1].seconds_left == 0
    # Ten classes; 360 images, each counted once.
    assert summary["test_count"] == 360
    assert summary["test_accuracy"] * 360 == pytest.approx(round(summary["test_accuracy"] * 360))
    assert 0.15 < summary["test_accuracy"] <= summary["best_test_accuracy"] <= 1.0
    assert summary["steps"] == STEPS
    assert 0 <= summary["input_wait_share"] < 1
    assert summary["images_per_second"] > 0
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert "stem/conv/kernel" in (folder / "parameters.txt").read_text()
    assert list(folder.glob("plugins/profile/*/*.xplane.pb"))


def test_the_model_has_the_averaged_weights_of_the_end(finished):
    folder, *_ = finished
    description, parameters, statistics = read_model(folder)
    averages = checkpoint_of(folder, STEPS)["averages"]
    assert description.architecture == Architecture.from_one_line(SMALL)
    assert description.class_names == tuple("0123456789")
    assert description.config["batch_size"] == 256
    for state, name in ((parameters, "parameters"), (statistics, "statistics")):
        jax.tree.map(
            np.testing.assert_array_equal,
            jax.tree.leaves(nnx.to_pure_dict(state)),
            jax.tree.leaves(averages[name]),
        )


def test_after_a_signal_it_goes_on_to_the_same_bits(finished, tmp_path):
    folder, summary, _ = finished

    def interrupt(progress) -> None:
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Preempted):
        run(make_config(), tmp_path / "b", on_progress=interrupt)
    assert (tmp_path / "b" / "checkpoints" / "6").exists()
    resumed = run(make_config(), tmp_path / "b")
    for name in ("train_loss", "test_accuracy", "test_loss", "best_test_accuracy"):
        assert resumed[name] == summary[name]
    jax.tree.map(
        np.testing.assert_array_equal,
        checkpoint_of(folder, STEPS),
        checkpoint_of(tmp_path / "b", STEPS),
    )


def test_it_runs_in_another_thread(finished, tmp_path):
    """And goes on with what an earlier session has left."""
    shutil.copytree(finished[0], tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "checkpoints" / str(STEPS))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        config = make_config()
        config.profile = True
        summary = pool.submit(run, config, tmp_path / "a").result()
    assert summary["test_accuracy"] == finished[1]["test_accuracy"]


def test_a_workdir_in_use_is_refused_and_left_alone(tmp_path):
    with locked(tmp_path), pytest.raises(ValueError, match="is in use by another run, process"):
        run(make_config(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]


def test_nan_ends_the_run_and_is_never_saved(tmp_path, monkeypatch):
    config = make_config()
    config.model.num_reductions = 0  # Half of what there is to compile, for the same error.
    # More than may be asked for, so that the second step fails for certain.
    monkeypatch.setattr(loop, "check_config", lambda config: None)
    config.optimizer.learning_rate = 1e36
    config.max_grad_norm = 0.0
    config.checkpoint_epochs = 1 / 10  # After every step.
    with pytest.raises(FloatingPointError, match="Step 2 .* that of step 1. Lower"):
        run(config, tmp_path / "a")
    assert os.listdir(tmp_path / "a" / "checkpoints") == ["1"]
    for leaf in jax.tree.leaves(checkpoint_of(tmp_path / "a", 1)):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("architecture", "missing.json", FileNotFoundError, "missing.json"),
        ("architecture", "nasnet_d", ValueError, "nasnet_d"),
        ("batch_size", 4096, ValueError, "1437"),
        ("epochs", 0, ValueError, "epochs must be above 0"),
        ("init_from", "missing", FileNotFoundError, "missing"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, field, value, error, message):
    config = make_config()
    config[field] = value
    with pytest.raises(error, match=message):
        run(config, tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.timeout(300)
def test_the_command_trains_what_the_flags_say(tmp_path):
    small = {
        "architecture": "normal: conv_1x1(0)+identity(1); reduction: conv_1x1(0)+identity(1)",
        "model.num_cells": 1,
        "model.num_filters": 4,
        "model.num_reductions": 0,
        "epochs": 1.0,
    }
    command = [sys.executable, "-m", "nasnet_jax.train", "--config=configs/digits.py"]
    flags = [f"--config.{name}={value}" for name, value in small.items()]
    done = subprocess.run(
        [*command, f"--workdir={tmp_path / 'run'}", *flags],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["test_accuracy"] > 0
    assert "test accuracy" in done.stdout + done.stderr
