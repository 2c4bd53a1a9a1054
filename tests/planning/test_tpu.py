"""Compiling for TPUs that are not there; runs where the extra `tpu` is installed."""

from __future__ import annotations

import pytest

from nasnet_jax.planning import parse_topology
from nasnet_jax.planning.check import check
from nasnet_jax.planning.lowering import topology_devices
from nasnet_jax.search.config import default_config

pytest.importorskip("libtpu", reason="libtpu is not installed: pip install '.[tpu]'")


@pytest.mark.parametrize(
    ("topology", "devices"),
    [("v5e-16", 16), ("v5e-1", 1), ("v4-8", 4), ("v5p-8", 4), ("v6e:2x4", 8), ("v6e-1", 1)],
)
def test_every_chip_is_one_device(topology, devices):
    assert len(topology_devices(parse_topology(topology))) == devices


def test_slice_that_is_not_made_is_refused():
    with pytest.raises(ValueError, match="cannot describe v5e:3x3: .*not divisible"):
        topology_devices(parse_topology("v5e:3x3"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chip", ["v4:2x2x1", "v5e:2x2", "v5p:2x2x1", "v6e:2x2"])
def test_program_of_a_search_keeps_its_form(chip):
    config = default_config()
    config.num_blocks = 2
    config.child.update({"num_cells": 1, "num_filters": 8, "num_reductions": 0})
    config.child.update({"batch_size": 128, "bfloat16": True})
    topology = parse_topology(chip)
    found = check(config, topology)
    assert found.problems == () and found.program.collectives == {}
    assert found.program.conditionals >= 2
    assert 1e6 < found.code < found.needed < found.memory
