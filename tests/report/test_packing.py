"""The compact form that the page unpacks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.report.layout import lay_out
from nasnet_jax.report.packing import COLUMN_STEPS, pack_architecture, pack_layout
from nasnet_jax.space import Architecture, sample_architecture

ARCHITECTURES = st.builds(
    lambda seed, blocks: sample_architecture(np.random.default_rng(seed), blocks),
    st.integers(0, 10_000),
    st.integers(2, 7),
)


@given(ARCHITECTURES)
def test_an_architecture_is_its_decisions_and_two_layouts(drawn: Architecture) -> None:
    decisions, layouts = pack_architecture(drawn.one_line())
    assert Architecture.from_decisions(np.frombuffer(decisions, np.uint8)) == drawn
    middle = layouts[0] + 1
    assert layouts[1:middle] == pack_layout(lay_out(drawn.normal))
    assert layouts[middle + 1 :] == pack_layout(lay_out(drawn.reduction))
    assert layouts[middle] == len(layouts) - middle - 1


@given(ARCHITECTURES)
def test_columns_lose_less_than_a_pixel_can_show(drawn: Architecture) -> None:
    layout = lay_out(drawn.normal)
    packed = list(pack_layout(layout))
    columns = packed[2 : 2 + 2 * len(layout.places) : 2]
    for place, column in zip(layout.places, columns, strict=True):
        assert abs(place.column - column / COLUMN_STEPS) <= 0.5 / COLUMN_STEPS + 1e-9
    assert packed[3 : 3 + 2 * len(layout.places) : 2] == [place.row for place in layout.places]
