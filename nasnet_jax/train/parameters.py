"""The table of a network's parameters, for people."""

from __future__ import annotations

import pathlib
from typing import Any

from absl import logging
from clu import parameter_overview
from flax import nnx

from nasnet_jax.space.serialization import write_atomically
from nasnet_jax.train.program import TrainState


def write_parameters(path: pathlib.Path, state: TrainState) -> None:
    """Writes the table of the parameters, with shapes, means and deviations."""
    parameters = nnx.to_pure_dict(state.parameters)
    table = parameter_overview.get_parameter_overview(_with_text_keys(parameters))
    logging.info("%s", table)
    write_atomically(path, table + "\n")


def _with_text_keys(tree: Any) -> Any:
    """Cells and blocks are numbered, and clu joins names."""
    if isinstance(tree, dict):
        return {str(name): _with_text_keys(value) for name, value in tree.items()}
    return tree
