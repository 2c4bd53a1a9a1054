from __future__ import annotations

import functools
import pathlib
import re

import jax
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh

from nasnet_jax.mesh import training_mesh
from nasnet_jax.space import Architecture
from nasnet_jax.train import default_config
from nasnet_jax.train.program import TrainProgram

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
ARCHITECTURE = Architecture.from_one_line(
    "normal: sep_conv_3x3(0)+identity(1); reduction: conv_1x1(0)+avg_pool_3x3(1)"
)
BATCH = 16


def make_config(**changes):
    config = default_config()
    config.batch_size = BATCH
    config.epochs = 1.0
    config.log_steps = 2
    config.label_smoothing = 0.1
    config.ema_decay = 0.99
    config.dataset.image_size = 8
    config.dataset.channels = 1
    config.model.num_cells = 1
    config.model.num_filters = 4
    config.model.num_reductions = 1
    config.batch_norm.group_size = 4
    config.optimizer.learning_rate = 0.1
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in changes.items()})
    return config


@functools.cache
def make_program(devices: int, parts: int = 1, random: bool = True) -> TrainProgram:
    """A program with everything on, or without what is random."""
    config = make_config(
        accumulation_steps=parts,
        dropout_rate=0.5 if random else 0.0,
        drop_path__final_drop_prob=0.7 if random else 0.0,
    )
    mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
    return TrainProgram(config, ARCHITECTURE, mesh, steps_per_epoch=3)


def batch(program: TrainProgram, step: int, images: np.ndarray | None = None):
    rng = np.random.default_rng(step)
    images = rng.normal(size=(BATCH, 8, 8, 1)) if images is None else images
    labels = rng.integers(0, 10, BATCH)
    parts = program.config.accumulation_steps
    shape = (parts, BATCH // parts)
    return jax.device_put(
        (
            images.reshape(*shape, 8, 8, 1).astype(np.float32),
            labels.reshape(shape).astype(np.int32),
        ),
        program.by_example,
    )


@functools.cache
def initial_state():
    return jax.device_get(make_program(1).init())


def start(program: TrainProgram, step: int = 0):
    """The same initial state for all programs, as its initialization takes long to compile."""
    return jax.device_put(initial_state()._replace(step=np.int32(step)), program.replicated)


def run_steps(program: TrainProgram):
    """Two steps in the middle, where the probability of dropping a path is no longer 0."""
    state, losses = start(program, step=1), []
    for step in (1, 2):
        state, metrics = program.update(state, *batch(program, step), program.randomness)
        losses.append(float(metrics.loss))
    return jax.device_get(state), losses


def assert_close(first, second, tolerance: float = 5e-4) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), first, second
    )


@pytest.mark.parametrize("devices", [2, 4])
def test_a_step_is_the_same_on_any_mesh(devices):
    one, losses = run_steps(make_program(1))
    many, other_losses = run_steps(make_program(devices))
    np.testing.assert_allclose(losses, other_losses, rtol=2e-5)
    assert_close(one, many)


def test_parts_of_a_batch_are_as_good_as_the_batch():
    whole, losses = run_steps(make_program(2, random=False))
    parts, other_losses = run_steps(make_program(2, parts=2, random=False))
    np.testing.assert_allclose(losses, other_losses, rtol=2e-5)
    assert_close(whole, parts)


def test_the_evaluated_weights_are_the_averages_without_the_auxiliary_head():
    program = make_program(1)
    state = initial_state()
    after, _ = program.update(start(program), *batch(program, 0), program.randomness)
    parameters, statistics = program.served(after)
    names = {path[0] for path, _ in nnx.to_flat_state(parameters)}
    assert "aux_head" not in names and "head" in names
    assert "aux_head" in {path[0] for path, _ in nnx.to_flat_state(after.parameters)}
    # Of the first update a tenth of the start is kept.
    expected = jax.tree.map(
        lambda a, b: 0.1 * a + 0.9 * b, state.statistics["stem"], after.statistics["stem"]
    )
    assert_close(expected, statistics["stem"], 1e-6)
    changed = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), state.statistics["stem"], after.statistics["stem"]
    )
    assert max(jax.tree.leaves(changed)) > 0.01


def test_one_program_is_compiled_and_the_mean_loss_restarts():
    program = make_program(1)
    state, means, losses = start(program), [], []
    for step in range(4):
        state, metrics = program.update(state, *batch(program, step), program.randomness)
        means.append(float(metrics.loss_mean))
        losses.append(float(metrics.loss))
    expected = [losses[0], np.mean(losses[:2]), losses[2], np.mean(losses[2:])]
    np.testing.assert_allclose(means, expected, rtol=1e-6)
    assert program.update._cache_size() == 1


def test_an_infinite_image_shows_in_the_metrics():
    program = make_program(1)
    images = np.zeros((BATCH, 8, 8, 1))
    images[3, 2, 2] = np.inf
    _, metrics = program.update(start(program), *batch(program, 0, images), program.randomness)
    assert not np.isfinite(float(metrics.loss)) or not np.isfinite(float(metrics.gradient_norm))


@pytest.mark.parametrize(
    ("size", "group", "parts", "used"),
    [(16, 4, 1, 4), (16, 8, 1, 2), (16, 4, 2, 2), (12, 4, 1, 3), (16, 0, 1, 4), (16, 16, 1, 1)],
)
def test_a_mesh_has_as_many_devices_as_whole_groups_can_be_dealt_to(size, group, parts, used):
    assert jax.device_count() == 4
    config = make_config(batch_size=size, accumulation_steps=parts, batch_norm__group_size=group)
    assert training_mesh(config).size == used


def test_a_pod_that_a_batch_does_not_fill_is_told_which_would(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "devices", lambda: [None] * 16)
    config = make_config(batch_size=1600, batch_norm__group_size=32)
    with pytest.raises(ValueError, match="10 of 16 devices.*batch_size=1536 or .*batch_size=2048;"):
        training_mesh(config)


def test_the_batches_in_the_docs_fill_their_devices():
    text = (DOCS / "transferring.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \| (.*) \|$", text, re.M)
    assert [int(row[0]) for row in rows] == [16, 32, 64, 256]
    for devices, *cells in rows:
        for cell, group in zip(cells, (32, 16), strict=True):
            for choice in cell.split(", or "):
                size = int(choice.split()[0])
                given = re.search(r"group_size=(\d+)", choice)
                assert size % (int(devices) * (int(given[1]) if given else group)) == 0, choice
