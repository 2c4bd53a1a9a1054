"""Nothing is smaller than the smallest."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.space import Architecture, Macro, choices, cost
from nasnet_jax.space.smallest import smallest_architecture

MACROS = (
    Macro(num_cells=1, num_filters=4, num_classes=10, image_size=8, uniform_inputs=True),
    Macro(num_cells=2, num_filters=4, num_classes=10, image_size=16),
    Macro(num_cells=1, num_filters=16, num_classes=None, image_size=32, stem="imagenet"),
)


@given(
    st.sampled_from(MACROS),
    st.integers(2, 5).flatmap(
        lambda blocks: st.tuples(*(st.integers(0, n - 1) for n in choices(blocks)))
    ),
)
def test_nothing_is_smaller(macro: Macro, decisions: tuple[int, ...]) -> None:
    found = cost(Architecture.from_decisions(np.array(decisions)), macro)
    least = cost(smallest_architecture(len(decisions) // 10), macro)
    assert least.params <= found.params and least.macs <= found.macs
