from __future__ import annotations

import math
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.planning import CHIPS, parse_topology
from nasnet_jax.planning.gpu_time import child_step_seconds
from nasnet_jax.planning.plan import (
    PAPER_CHILDREN,
    calibrate,
    calibration_text,
    plan_search,
    plan_text,
    search_checkpoint_bytes,
    training_text,
)
from nasnet_jax.planning.schedule import deal_by_cost, run_rows
from nasnet_jax.planning.search_size import search_size
from nasnet_jax.planning.speed import (
    Measurement,
    Speed,
    child_seconds,
    data_sheet_speed,
    fit_speed,
)
from nasnet_jax.planning.work import Work, child_work
from nasnet_jax.search.config import default_config, search_macro
from nasnet_jax.space import Architecture, Macro, cost, sample_architecture
from nasnet_jax.train.config import default_config as training_config

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEED = Speed(1e-12, 1e-11, 1e-10, "made up")
MACRO = Macro(num_cells=2, num_filters=8, num_classes=10, image_size=16, uniform_inputs=True)


def cells(name):
    text = f"{name}(0)+{name}(1)"
    return Architecture.from_one_line(f"normal: {text}; reduction: {text}")


def test_work_of_operations_differs_by_what_they_compute():
    none = child_work(cells("identity"), MACRO)
    kernels = {"conv_1x1": 1, "conv_3x3": 9}
    more = {name: child_work(cells(name), MACRO).dense - none.dense for name in kernels}
    # The strided identity is a 1x1 convolution too, so only the stride-1 cells differ.
    assert more["conv_3x3"] > 8 * more["conv_1x1"] > 0
    for name, kernel in (("sep_conv_3x3", 3), ("sep_conv_7x7", 7)):
        work = child_work(cells(name), MACRO)
        # Twice depthwise, in both operations of every cell.
        sizes = sum(2 * 2 * c.filters * math.prod(c.output_size) for c in MACRO.cells)
        assert work.window == kernel**2 * sizes
    assert child_work(cells("max_pool_3x3"), MACRO).dense < none.dense
    assert none.window == 0


@given(st.integers(0, 2**32 - 1))
def test_dense_work_is_at_least_the_networks_own(seed):
    # Behind a stage all places of a concatenation are computed, so more; depthwise is counted apart.
    architecture = sample_architecture(np.random.default_rng(seed), 3).canonical()
    work = child_work(architecture, MACRO)
    macs = cost(architecture, MACRO).macs
    assert work.dense + work.window >= macs - 10 * 3 * 32 * 5  # without the classifier


def test_work_grows_with_the_square_of_the_filters():
    wide = Macro(num_cells=2, num_filters=16, num_classes=10, image_size=16, uniform_inputs=True)
    small, large = (child_work(cells("conv_3x3"), macro).dense for macro in (MACRO, wide))
    # All but the stem, whose inputs are the colours.
    stem = 9 * MACRO.image_channels * MACRO.stem_filters * math.prod(MACRO.stem_size)
    assert large == 4 * small - 2 * stem


def test_rows_wait_for_their_slowest_child():
    schedule = run_rows([1.0, 3.0, 2.0, 2.0], 2)
    assert schedule.seconds == 5 and schedule.idle_share == pytest.approx(1 - 8 / 10)
    # A row that is not full leaves devices idle.
    assert run_rows([1.0], 4).idle_share == pytest.approx(0.75)


@given(st.lists(st.floats(1, 100), min_size=8, max_size=40), st.integers(1, 8))
def test_dealing_full_rows_by_exact_cost_never_takes_longer(times, devices):
    times = times[: len(times) // devices * devices]
    dealt, lock_step = deal_by_cost(times, times, devices), run_rows(times, devices)
    assert dealt.seconds <= lock_step.seconds + 1e-9
    assert -1e-9 <= dealt.idle_share < 1
    assert dealt.seconds >= sum(times) / devices - 1e-9


def test_fit_finds_the_speed_that_made_the_measurements():
    rng = np.random.default_rng(0)
    works = [Work(*rng.uniform(1e6, 1e8, 3)) for _ in range(8)]
    found = fit_speed([Measurement("", work, SPEED.seconds_per_image(work)) for work in works])
    assert found.dense == pytest.approx(SPEED.dense)
    assert found.window == pytest.approx(SPEED.window)
    assert found.elements == pytest.approx(SPEED.elements)


def test_seconds_of_a_child_in_closed_form():
    config = default_config()
    size = search_size(config)
    work = Work(dense=1e6)
    seconds = child_seconds(SPEED, work, size, batch_size=128, epochs=20)
    assert seconds == pytest.approx(1e-6 * (20 * 351 * 128 + 40 * 128 / 3))


def test_better_chips_are_faster():
    work = child_work(cells("sep_conv_5x5"), MACRO)
    seconds = {
        name: data_sheet_speed(chip, num_filters=32).seconds_per_image(work)
        for name, chip in CHIPS.items()
    }
    assert seconds["v6e"] < seconds["v5e"] and seconds["h100"] < seconds["a100"]


def plan(config, topology):
    topology = parse_topology(topology)
    return plan_search(config, topology, speed=SPEED, num_devices=topology.num_devices)


def test_plan_adds_up():
    config = default_config()
    config.children_per_batch = 32
    config.num_children = 3200
    planned = plan(config, "v5e-16")
    assert planned.search_hours == pytest.approx(100 * planned.dealt.seconds / 3600)
    assert planned.children_per_hour * planned.search_hours == pytest.approx(3200)
    # Devices are never busier than always.
    work_hours = planned.child_seconds * 3200 / 3600
    assert planned.search_hours * 16 * (1 - planned.dealt.idle_share) == pytest.approx(work_hours)
    assert planned.dealt.idle_share < planned.lock_step.idle_share
    text = plan_text(planned, price=2.0)
    assert f"{2 * planned.device_hours:,.2f} at 2" in text
    assert f"{PAPER_CHILDREN:,} children" in text and "NOTE" not in text


def test_batch_that_leaves_devices_empty_is_noted():
    config = default_config()
    text = plan_text(plan(config, "v5e-256"), price=None)
    assert "NOTE: a batch has 20 children" in text and "92%" in text
    # Two rows on 16 devices, the second of four children.
    assert "--config.children_per_batch=32 " in plan_text(plan(config, "v5e-16"), price=None)
    config.mesh.data = 64
    assert "NOTE" not in plan_text(plan(config, "v5e-256"), price=None)


def test_the_advice_fills_all_devices():
    config = default_config()
    text = plan_text(plan(config, "v5e-16"), price=None)
    config.children_per_batch = int(re.search(r"config\.children_per_batch=(\d+)", text)[1])
    advised = plan(config, "v5e-16")
    assert "NOTE" not in plan_text(advised, price=None) and advised.dealt.idle_share < 0.35


def test_calibration_measures_this_machine_and_is_checked():
    config = default_config()
    config.num_blocks = 2
    config.dataset.name = "digits"
    config.dataset.num_validation = 300
    config.child.num_cells = 1
    config.child.num_filters = 2
    config.child.num_reductions = 0
    config.child.batch_size = 64
    config.child.crop_padding = 1
    config.child.flip = False
    speed, checks = calibrate(config, search_size(config))
    assert min(speed.dense, speed.window, speed.elements) >= 0 and "measured here" in speed.source
    assert [measured.name for measured, _ in checks] == [
        "small child", "middling child", "large child"
    ]  # fmt: skip
    # How near they come is measured on a quiet machine (docs/pods.md), not here.
    assert all(measured.seconds > 0 and predicted > 0 for measured, predicted in checks)
    text = calibration_text(checks)
    assert text.count("predicted") == 3 and "large child" in text


def test_children_that_share_devices_take_fewer_rows():
    config = default_config()
    config.mesh.data = 4
    shared = plan(config, "v5e-16")
    assert shared.child_seconds == pytest.approx(plan(default_config(), "v5e-16").child_seconds / 4)
    config.mesh.data, config.child.batch_size = 3, 129
    with pytest.raises(ValueError, match="does not divide the 16 devices"):
        plan(config, "v5e-16")


def test_gpus_wait_to_be_asked():
    config = default_config()
    config.child.update({"num_cells": 1, "num_filters": 8, "num_reductions": 1, "batch_size": 64})

    def planned(topology, **mesh):
        changed = config.copy_and_resolve_references()
        changed.mesh.update(mesh)
        return plan_search(changed, parse_topology(topology), speed=SPEED, num_devices=1)

    assert planned("v5e-1").launching_seconds == 0.0
    alone = planned("h100-1")
    # In each of 703 steps of 20 epochs, besides 79 evaluations that are a third.
    step = child_step_seconds(config, search_macro(config, (32, 32, 3), 10))
    assert alone.launching_seconds == pytest.approx(step * (20 * 703 + 79 / 3), rel=1e-2)
    assert alone.child_seconds > alone.launching_seconds
    assert "of that, asking" in plan_text(alone, price=None)
    together = planned("h100-1", children_per_device=16, chunk=8)
    graphs = planned("h100-1", children_per_device=16, chunk=8, cuda_graphs=True)
    assert graphs.launching_seconds < together.launching_seconds < alone.launching_seconds / 3


def test_checkpoint_of_the_papers_search_is_small():
    config = default_config()
    size = search_checkpoint_bytes(config)
    config.num_children *= 2
    assert size < 10e6
    assert search_checkpoint_bytes(config) - size == 20_000 * (50 + 1 + 3 * 4 + 9 * 8)


def test_training_plan_needs_a_chip():
    config = training_config()
    with pytest.raises(ValueError, match="give --topology"):
        training_text(config, parse_topology("local"), price=None)
    text = training_text(config, parse_topology("v5e-8"), price=1.0)
    assert "30,000,000 images" in text and "at 1 a device-hour" in text


@pytest.mark.timeout(60)
def test_command_plans_the_papers_search():
    command = ["-m", "nasnet_jax.plan", "--config=configs/search_cifar10.py"]

    def call(*arguments):
        return subprocess.run(
            [sys.executable, *command, *arguments], cwd=ROOT, env=os.environ,
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip

    done = call("--topology=v5e-256", "--price=1.2")
    assert done.returncode == 0, done.stderr
    assert "2,000 GPU-days" in done.stdout and jax.default_backend() == "cpu"
    done = call("--topology=local")
    assert done.returncode == 1 and "--calibrate" in done.stderr
