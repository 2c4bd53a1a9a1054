"""The drawing of a schedule shows every call once, in its child's colour."""

from __future__ import annotations

import numpy as np
import pytest

from nasnet_jax.report.schedule_drawing import schedule_figure
from nasnet_jax.space import NASNET_A, sample_architecture


def test_every_call_has_a_place() -> None:
    children = [NASNET_A, sample_architecture(np.random.default_rng(0), 5)]
    figure = schedule_figure(children, num_cells=2, chunk=3)
    (axes,) = figure.axes
    shown = np.ma.filled(axes.collections[0].get_array(), np.nan)
    assert axes.get_xlabel().endswith(f"{np.isfinite(shown).sum()} calls")
    assert set(shown[np.isfinite(shown)]) == {0.0, 1.0}
    # A chunk is of one kind: three rows of the picture.
    for column in shown.T:
        (rows,) = np.nonzero(np.isfinite(column))
        assert len(set(rows // 3)) == 1
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert {"sep 3x3", "sep 5x5", "sum"} <= set(labels)


def test_children_of_different_searches_are_refused() -> None:
    with pytest.raises(ValueError, match="equally many blocks"):
        schedule_figure([NASNET_A, sample_architecture(np.random.default_rng(0), 2)], 1, 2)
