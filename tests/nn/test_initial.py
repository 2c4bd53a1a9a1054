"""One draw for all parameters gives what the layers' own initialisers give."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from flax import nnx

from nasnet_jax.nn.initial import draws, started
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import NASNET_A, Macro

MACRO = Macro(num_cells=1, num_filters=8, num_classes=10, image_size=32)


@pytest.fixture(scope="module")
def network() -> NASNet:
    return NASNet(NASNET_A, MACRO, config=LayerConfig(), aux_head=True, rngs=nnx.Rngs(0))


def test_parameters_start_as_those_of_the_modules(network: NASNet) -> None:
    own = nnx.state(network, nnx.Param)
    found = started(draws(jax.random.key(1), own))
    stds = []
    for (path, one), other in zip(
        jax.tree_util.tree_leaves_with_path(own), jax.tree.leaves(found), strict=True
    ):
        name = jax.tree_util.keystr(path)
        assert one.shape == other.shape and one.dtype == other.dtype, name
        if "kernel" in name:
            assert np.abs(one).max() < 3 * np.std(one) + 1e-6, name
            stds.append((float(np.std(one)), float(np.std(other)), one.size))
        else:
            np.testing.assert_array_equal(one, other, err_msg=name)
    for one, other, size in stds:
        # Five standard errors of each of the two.
        assert abs(other / one - 1) < 10 / np.sqrt(2 * size)
    # No two kernels are the same numbers.
    firsts = [float(x.reshape(-1)[0]) for x in jax.tree.leaves(found) if x.ndim > 1]
    assert len(set(firsts)) == len(firsts)


def test_statistics_start_as_those_of_the_modules(network: NASNet) -> None:
    own = nnx.state(network, nnx.BatchStat)
    found = started(jax.tree.map(np.zeros_like, own))
    for one, other in zip(jax.tree.leaves(own), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(one, other)
