"""Two runs that ended alike, whatever happened to one of them on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from nasnet_jax.inference import read_model


def assert_equal_runs(
    workdir: Path, expected: Path, checkpoint_of: Callable[[Path], Any], times: Collection[str]
) -> None:
    """Summaries but for their times, newest checkpoints, and models are equal to the last bit."""
    summaries = []
    for folder in (workdir, expected):
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        summaries.append({name: value for name, value in summary.items() if name not in times})
    assert summaries[0] == summaries[1]
    jax.tree.map(np.testing.assert_array_equal, checkpoint_of(workdir), checkpoint_of(expected))
    found, wanted = (
        [nnx.to_pure_dict(state) for state in read_model(folder)[1:]]
        for folder in (workdir, expected)
    )
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
