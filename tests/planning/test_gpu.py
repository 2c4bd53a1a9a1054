"""Compiling for GPUs that are not there; runs where the extra `cuda` is installed."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

from nasnet_jax.planning import CHIPS, parse_topology
from nasnet_jax.planning.gpu import MULTIPROCESSORS, gpu_devices

ROOT = pathlib.Path(__file__).resolve().parents[2]

needs_plugin = pytest.mark.skipif(
    importlib.util.find_spec("jax_plugins") is None,
    reason="JAX's plugin for CUDA is not installed: pip install '.[cuda]'",
)


def test_every_gpu_is_described():
    gpus = {name for name, chip in CHIPS.items() if not chip.dimensions}
    assert gpus == set(MULTIPROCESSORS)
    assert parse_topology("h200") == parse_topology("h200-1")


def test_missing_plugin_is_explained(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"compile for h100-8 JAX needs .* pip install '.\[cuda\]'"
    ):
        gpu_devices(parse_topology("h100-8"))


@needs_plugin
@pytest.mark.parametrize(("topology", "hosts"), [("a100", 1), ("h100-8", 1), ("h200-16", 2)])
def test_devices_are_those_of_the_topology(topology, hosts):
    topology = parse_topology(topology)
    devices = gpu_devices(topology)
    assert len(devices) == topology.num_devices
    assert {device.platform for device in devices} == {"gpu"}
    assert len({device.process_index for device in devices}) == hosts


SEARCH = """
from nasnet_jax.search.config import default_config


def get_config():
    config = default_config()
    config.num_blocks = 2
    config.dataset.image_size = 8
    config.child.update({"num_cells": 1, "num_filters": 4, "num_reductions": 1, "batch_size": 8})
    config.child.crop_padding = 1
    config.mesh.update({"children_per_device": 4, "chunk": 2})
    return config
"""


def check(path: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own: the compiler has to be told before it is loaded."""
    command = ["-m", "nasnet_jax.compile_check", f"--config={path}", *arguments]
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        # A program from the cache says nothing.
        env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"},
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )


@needs_plugin
@pytest.mark.timeout(600)
def test_tape_becomes_one_graph(tmp_path):
    path = tmp_path / "search.py"
    path.write_text(SEARCH)
    done = check(path, "--topology=h100-2", "--config.mesh.cuda_graphs=True")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loops and conditionals in them, 0 led by the host" in done.stdout
