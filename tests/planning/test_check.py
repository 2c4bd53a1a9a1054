from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from nasnet_jax.data.builtin import FakeSpec, make_fake
from nasnet_jax.planning import parse_topology
from nasnet_jax.planning.check import check_text, examine, is_search
from nasnet_jax.planning.lowering import lower_search, lower_training, topology_devices
from nasnet_jax.planning.search_size import SearchSize, search_size
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.search.config import default_config, search_macro
from nasnet_jax.train.config import default_config as training_config

ROOT = pathlib.Path(__file__).resolve().parents[2]


def small_config():
    config = default_config()
    config.num_blocks = 2
    config.dataset.num_validation = 44
    config.child.update({"num_cells": 1, "num_filters": 2, "num_reductions": 1, "batch_size": 8})
    config.child.crop_padding = 1
    return config


class Seen(Exception):
    """The text of the program that would have been compiled."""


def test_program_is_the_one_that_the_search_runs(monkeypatch):
    def seen(lowered, compiler_options):
        raise Seen(lowered.as_text())

    config = small_config()
    dataset = make_fake(
        FakeSpec(num_train=112, num_test=8, num_classes=3, image_size=8, channels=1)
    )
    devices = jax.devices()[:2]
    mesh = Mesh(np.array(devices).reshape(2, 1), ("arch", "data"))
    trainer = ChildTrainer(config, dataset, mesh)
    size = SearchSize(
        macro=search_macro(config, dataset.image_shape, dataset.num_classes),
        num_train=68, num_validation=44, steps=8, evaluations=6,
    )  # fmt: skip
    mine = lower_search(config, size, devices).as_text()
    monkeypatch.setattr(jax.stages.Lowered, "compile", seen)
    with pytest.raises(Seen) as caught:
        trainer.compile()
    assert str(caught.value) == mine


def test_sizes_of_the_papers_search():
    size = search_size(default_config())
    assert (size.num_train, size.steps, size.evaluations) == (45_000, 351, 40)
    assert size.macro.image_height_width == (32, 32)


def test_data_set_that_leaves_no_batch_is_refused():
    config = default_config()
    config.dataset.num_validation = 49_900
    with pytest.raises(ValueError, match="50000 training images, of which 49900 are held out"):
        search_size(config)


def lowered(function, *shapes):
    return jax.jit(function).lower(*(jax.ShapeDtypeStruct(s, np.float32) for s in shapes))


def test_search_without_a_branch_is_a_problem():
    def batched(choice, x):
        # What becomes of a branch under vmap: both sides are computed.
        return jax.vmap(lambda c, x: jax.lax.cond(c > 0, jnp.sin, jnp.cos, x))(choice, x)

    found = examine(lowered(batched, (2,), (2,)), subject="search", where="here", memory=None)
    assert found.problems and "No conditional" in found.problems[0]
    assert "PROBLEM: No conditional" in check_text(found)

    def alone(choice, x):
        return jax.lax.cond(choice > 0, jnp.sin, lambda x: x @ x, x)

    found = examine(lowered(alone, (), (8, 8)), subject="search", where="here", memory=None)
    assert found.problems == () and found.program.conditionals == 1


def test_what_does_not_fit_is_a_problem():
    program = lowered(lambda x: x * 2, (1000,))
    needed = examine(program, subject="training", where="here", memory=10**6)
    assert needed.problems == () and needed.needed >= 8000
    (problem,) = examine(program, subject="training", where="here", memory=7999).problems
    assert "needs 0.0 MB" in problem


def test_compiler_that_runs_out_of_memory_is_explained():
    class TooLarge:
        def compile(self):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: (23.08G) exceeds (15.75G).\nmore")

    with pytest.raises(
        ValueError, match="does not fit v5e:4x4: RESOURCE_.* Try accumulation_steps"
    ):
        examine(TooLarge(), subject="training", where="v5e:4x4", memory=None)


def test_training_step_is_lowered_for_the_devices():
    config = training_config()
    config.batch_size, config.batch_norm.group_size = 8, 4
    config.aux_weight = 0.0
    config.dataset.image_size = 8
    config.model.update({"num_cells": 1, "num_filters": 4, "num_reductions": 1})
    text = lower_training(config, jax.devices()[:2]).as_text()
    assert "tensor<1x8x8x8x3xf32>" in text
    with pytest.raises(ValueError, match="4 devices. It can with --config.batch_size=16;"):
        lower_training(config, jax.devices()[:4])


def test_devices_of_this_machine():
    assert topology_devices(parse_topology("local")) == jax.devices()


def test_kind_of_config():
    assert is_search(default_config()) and not is_search(training_config())


CONFIG = """
from nasnet_jax.train.config import default_config


def get_config():
    config = default_config()
    config.batch_size, config.batch_norm.group_size = 4, 1
    config.aux_weight = 0.0
    config.architecture = (
        "normal: identity(0)+identity(0) identity(1)+identity(0); "
        "reduction: identity(0)+identity(1) identity(0)+identity(1)"
    )
    config.dataset.image_size = 4
    config.model.update({"num_cells": 1, "num_filters": 4, "num_reductions": 1})
    return config
"""


@pytest.mark.timeout(120)
def test_command_prints_a_table_and_refuses_nonsense(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(CONFIG)

    def call(topology):
        command = ["-m", "nasnet_jax.compile_check", f"--config={path}", f"--topology={topology}"]
        return subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=os.environ, capture_output=True, text=True,
            timeout=100, check=False,
        )  # fmt: skip

    done = call("local")
    assert done.returncode == 0, done.stderr
    assert "training" in done.stdout and "temporaries" in done.stdout
    done = call("v5e-3")
    assert done.returncode == 1 and "is no topology" in done.stderr
