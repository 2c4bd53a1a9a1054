from __future__ import annotations

import jax
import numpy as np
import pytest

from nasnet_jax.cuda_graphs import compiler_options


def test_graphs_are_asked_for_on_gpus_alone():
    assert compiler_options(wanted=False, platform="gpu", environment={}) == {}
    assert compiler_options(wanted=True, platform="tpu", environment={}) == {}
    options = compiler_options(wanted=True, platform="gpu", environment={})
    assert {"WHILE", "CONDITIONAL", "CONVOLUTION"} <= set(
        options["xla_gpu_enable_command_buffer"].split(",")
    )


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        ("--xla_gpu_enable_command_buffer=", {"xla_gpu_graph_min_graph_size"}),
        ("--other=1 --xla_gpu_graph_min_graph_size=5", {"xla_gpu_enable_command_buffer"}),
        ("--xla_gpu_graph_min_graph_size_of_others=1", None),
    ],
)
def test_flags_of_the_environment_win(flags, left):
    options = compiler_options(wanted=True, platform="gpu", environment={"XLA_FLAGS": flags})
    every = {"xla_gpu_graph_min_graph_size", "xla_gpu_enable_command_buffer"}
    assert set(options) == (left or every)


def test_compiler_knows_the_options():
    options = compiler_options(wanted=True, platform="gpu", environment={})
    lowered = jax.jit(lambda x: x + 1).lower(np.float32(0))
    # XLA reads the options of all its platforms in each.
    assert lowered.compile(compiler_options=options)(np.float32(1)) == 2
    with pytest.raises(jax.errors.JaxRuntimeError):
        lowered.compile(compiler_options={"xla_gpu_enable_command_buffer": "LOOPS"})
