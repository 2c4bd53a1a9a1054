"""The first weights of a training that starts from a trained model (`config.init_from`)."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import jax
from absl import logging
from flax import nnx

from nasnet_jax.inference.saved_model import read_model
from nasnet_jax.space import Architecture
from nasnet_jax.train.evaluation import from_processes
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
            "config.architecture. To go on from it give --config.architecture="
            f"{description.architecture.one_line()!r}."
        )
    abstract = jax.eval_shape(program.init)
    new = (
        *_new_variables(abstract.parameters, parameters, path),
        *_new_variables(abstract.statistics, statistics, path),
    )
    # Compiled only where something of it is needed.
    fresh = program.init() if new else abstract
    state = jax.jit(program.start, out_shardings=program.replicated)(
        *from_processes(
            program.replicated,
            (
                _filled(fresh.parameters, parameters, new),
                _filled(fresh.statistics, statistics, new),
            ),
        )
    )
    names = tuple("/".join(map(str, place)) for place in new)
    logging.info("Weights from %s; new: %s.", path, ", ".join(names) or "none")
    return state, names


def _new_variables(
    wanted: nnx.State, trained: nnx.State, path: str | os.PathLike[str]
) -> list[tuple[Any, ...]]:
    """Lists the places of the variables that are not in the model, or not of this shape."""
    found = dict(nnx.to_flat_state(trained))
    new = []
    for place, variable in nnx.to_flat_state(wanted):
        other = found.get(place)
        if other is not None and other.shape == variable.shape:
            continue
        if place[0] not in _HEADS:
            shape = "none" if other is None else other.shape
            raise ValueError(
                f"init_from: the model in {os.fspath(path)} is of another size: "
                f"{'/'.join(map(str, place))} should have the shape {variable.shape}, but there it "
                f"is {shape}. Set the fields of config.model as they were for that model."
            )
        new.append(place)
    return new


def _filled(fresh: nnx.State, trained: nnx.State, new: Collection[tuple[Any, ...]]) -> nnx.State:
    """The trained variables, and the fresh ones in the new places."""
    found = dict(nnx.to_flat_state(trained))
    return nnx.from_flat_state(
        {
            place: variable if place in new else found[place]
            for place, variable in nnx.to_flat_state(fresh)
        }
    )
