"""The made-up weights, and files with them that look as their source writes them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from nasnet_jax.inference.published import expected_shapes

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def made_up() -> ModuleType:
    """`benchmarks/parity/made_up.py`, which the peers fill their networks with too."""
    path = ROOT / "benchmarks" / "parity" / "made_up.py"
    spec = importlib.util.spec_from_file_location("made_up", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def mobile(made_up: ModuleType) -> Callable[[str, int], dict[str, np.ndarray]]:
    """Made-up tensors of Mobile from a source, with a number of classes; a new dictionary each time."""
    made: dict[tuple[str, int], dict[str, np.ndarray]] = {}

    def tensors(source: str, classes: int) -> dict[str, np.ndarray]:
        if (source, classes) not in made:
            shapes = expected_shapes(source, "mobile", classes)
            made[source, classes] = {
                name: made_up.tensor(name, shape) for name, shape in shapes.items()
            }
        return dict(made[source, classes])

    return tensors
