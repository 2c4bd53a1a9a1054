from __future__ import annotations

import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from nasnet_jax.train import default_config, run

SMALL = (
    "normal: sep_conv_3x3(0)+identity(1) conv_1x1(2)++max_pool_3x3(0); "
    "reduction: conv_3x3(0)+identity(1) avg_pool_3x3(1)+identity(2)"
)


@pytest.fixture
def config():
    config = default_config()
    config.dataset.name = "digits"
    config.architecture = SMALL
    config.model.num_cells = 1
    config.model.num_filters = 4
    config.model.num_reductions = 1
    config.batch_size = 256
    config.batch_norm.group_size = 64
    config.epochs = 4
    config.checkpoint_epochs = 2
    config.learning_rate = 0.2
    config.crop_padding = 0
    config.flip = False
    return config


def test_it_learns_and_resumes_to_the_same_bits(config, tmp_path):
    losses = []
    whole = run(config, tmp_path / "a", on_progress=lambda progress: losses.append(progress.loss))
    assert len(losses) == 4 and losses[-1] < losses[0]
    # Ten classes; 360 images, each counted once.
    assert 0.1 < whole["test_accuracy"] <= 1.0
    assert (whole["test_accuracy"] * 360) == pytest.approx(round(whole["test_accuracy"] * 360))
    assert whole["steps"] == 4 * (1437 // 256)

    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / "checkpoints" / "20")
    resumed = run(config, tmp_path / "b")
    assert resumed["train_loss"] == whole["train_loss"]
    assert resumed["test_accuracy"] == whole["test_accuracy"]
    first, second = (
        ocp.StandardCheckpointer().restore(tmp_path / name / "checkpoints" / "20" / "default")
        for name in "ab"
    )
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("architecture", "missing.json", FileNotFoundError, "missing.json"),
        ("architecture", "nasnet_b", ValueError, "nasnet_b"),
        ("batch_size", 4096, ValueError, "1437"),
        ("epochs", 0, ValueError, "epochs must be at least 1"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    config, tmp_path, field, value, error, message
):
    config[field] = value
    with pytest.raises(error, match=message):
        run(config, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_group_must_divide_the_batch(config, tmp_path):
    config.batch_norm.group_size = 60
    with pytest.raises(ValueError, match="group_size"):
        run(config, tmp_path / "a")
