from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.planning import CHIPS, parse_topology


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ("v5e-16", "v5e:4x4"),
        ("v5litepod-16", "v5e:4x4"),
        ("v5e-256", "v5e:16x16"),
        ("v5e-8", "v5e:2x4"),
        ("v6e-32", "v6e:4x8"),
        ("v4-8", "v4:2x2x1"),
        ("v4-32", "v4:2x2x4"),
        ("v5p-256", "v5p:4x4x8"),
    ],
)
def test_sizes_are_those_of_cloud_tpu(size, shape):
    assert parse_topology(size) == parse_topology(shape)
    assert str(parse_topology(size)) == shape


def test_numbers_of_cores_and_chips():
    assert parse_topology("v5e-16").num_devices == 16
    assert parse_topology("v4-32").num_devices == 16  # two cores a chip
    assert parse_topology("h100-8").num_devices == 8
    assert not parse_topology("h100-8").is_tpu and parse_topology("v6e-8").is_tpu
    assert parse_topology("local").is_local


@given(st.sampled_from(sorted(CHIPS)), st.integers(0, 10))
def test_what_is_written_is_read_again(name, exponent):
    chip = CHIPS[name]
    topology = parse_topology(f"{name}-{2**exponent * chip.size_unit}")
    assert topology.num_devices == 2**exponent
    assert parse_topology(str(topology)) == topology
    if topology.is_tpu and topology.num_devices != 4:
        assert max(topology.shape) <= 2 * min(topology.shape)


@pytest.mark.parametrize(
    "text",
    ["", "v5e", "v5e:4", "v5e:0x4", "v5e:4x4x4", "v5e-3", "v5e-0", "v4-3", "h100:2x2", "v9-8"],
)
def test_nonsense_is_explained(text):
    with pytest.raises(ValueError, match="is no topology"):
        parse_topology(text)
