"""The first weights of a training that starts from a trained model (`config.init_from`)."""

from __future__ import annotations

import os

import jax
from absl import logging
from flax import nnx

from nasnet_jax.inference.saved_model import read_model
from nasnet_jax.space import Architecture
from nasnet_jax.train.program import TrainProgram, TrainState

_HEADS = ("head", "aux_head")
"""What may be new: the classifier for other classes, and the auxiliary head, never in a model."""


def start_from(
    path: str | os.PathLike[str], program: TrainProgram, architecture: Architecture
) -> tuple[TrainState, tuple[str, ...]]:
    """The state before the first step, with a trained model's weights where they fit.

    Args:
        path: A model's folder or a training's workdir.
        program: Of the training, whose own initial weights are used for what is new.
        architecture: Of the training.

    Returns:
        The state, and the names of the parameters that are new.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no model, or one whose cells or widths are others.
    """
    description, parameters, statistics = read_model(path)
    if description.architecture != architecture:
        raise ValueError(
            f"init_from: the model in {os.fspath(path)} has another architecture than "
            f"config.architecture, namely {description.architecture.one_line()}"
        )
    fresh = program.init()
    parameters, new = _filled(fresh.parameters, parameters, path)
    statistics, _ = _filled(fresh.statistics, statistics, path)
    state = jax.jit(program.start, out_shardings=program.replicated)(
        *jax.device_put((parameters, statistics), program.replicated)
    )
    logging.info("Weights from %s; new: %s.", path, ", ".join(new) or "none")
    return state, new


def _filled(
    fresh: nnx.State, trained: nnx.State, path: str | os.PathLike[str]
) -> tuple[nnx.State, tuple[str, ...]]:
    """The trained variables, and fresh ones where there are none or where a head is another one."""
    found = dict(nnx.to_flat_state(trained))
    filled, new = {}, []
    for place, variable in nnx.to_flat_state(fresh):
        name = "/".join(map(str, place))
        other = found.get(place)
        if other is not None and other.shape == variable.shape:
            filled[place] = other
            continue
        if place[0] not in _HEADS:
            shape = "none" if other is None else other.shape
            raise ValueError(
                f"init_from: the model in {os.fspath(path)} is of another size: {name} should have "
                f"the shape {variable.shape}, but there it is {shape}. Set the fields of config.model "
                "as they were for that model."
            )
        filled[place] = variable
        new.append(name)
    return nnx.from_flat_state(filled), tuple(new)
