"""A training that starts from a trained model (`config.init_from`).

Weights belong to the function that they were trained in. So what else makes up that function is
taken over with them: how borders are treated, what is added to variances, and on which scale the
network sees pixels. What would be another function is refused.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Collection
from typing import Any

import jax
import ml_collections
from absl import logging
from flax import nnx

from nasnet_jax.inference.description import ModelDescription
from nasnet_jax.inference.saved_model import read_description, read_model
from nasnet_jax.run_files import ORIGIN_FILE
from nasnet_jax.space import Architecture, Macro
from nasnet_jax.space.serialization import write_atomically
from nasnet_jax.train.config import config_macro
from nasnet_jax.train.evaluation import from_processes
from nasnet_jax.train.input import TrainingInput
from nasnet_jax.train.program import TrainProgram, TrainState

_FREE = ("num_classes", "image_size")
"""Fields of the skeleton that may differ: other classes get a new head, and cells take any size."""
_FLAGS = {"image_channels": "dataset.channels"}
"""Of the fields of the skeleton that are not in `config.model`."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """The model that a training starts from.

    Attributes:
        path: Its folder, or the workdir of its run.
        description: What it is; of a training that has begun, what it was then.
        has_begun: Whether the training has.
    """

    path: str
    description: ModelDescription
    has_begun: bool

    @classmethod
    def of(cls, config: ml_collections.ConfigDict, begun: pathlib.Path | None) -> Origin:
        """Finds the model of `config.init_from`, of which a training that has begun keeps a note.

        Args:
            config: Of the training.
            begun: Its workdir if it has begun, otherwise None.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If it holds no model.
        """
        if begun is not None and (begun / ORIGIN_FILE).exists():
            note = (begun / ORIGIN_FILE).read_text()
            return cls(config.init_from, ModelDescription.from_json(note), True)
        return cls(config.init_from, read_description(config.init_from), False)

    def keep(self, folder: pathlib.Path) -> None:
        """Notes in the workdir what the model is, which may change or go while the training runs."""
        if not self.has_begun and jax.process_index() == 0:
            write_atomically(folder / ORIGIN_FILE, self.description.to_json())

    def settings(
        self, config: ml_collections.ConfigDict, architecture: Architecture
    ) -> ml_collections.ConfigDict:
        """The configuration with the model's borders and epsilon where it leaves them open.

        Raises:
            ValueError: If the configuration asks for another network than the model's, with what
                to set.
        """
        if self.description.architecture != architecture:
            raise ValueError(
                f"init_from: the model in {self.path} has another architecture than "
                "config.architecture. To go on from it give --config.architecture="
                f"{self.description.architecture.one_line()!r}."
            )
        layers = self.description.layer_config()
        edges = config.edges or layers.edges
        epsilon = config.batch_norm.epsilon or layers.norm_epsilon
        asked_for = _function(config_macro(config), edges, epsilon)
        trained = _function(self.description.macro, layers.edges, layers.norm_epsilon)
        wrong = {flag: value for flag, value in trained.items() if asked_for[flag] != value}
        if wrong:
            raise ValueError(
                f"init_from: with this configuration the weights in {self.path} would be of another "
                "function than they were trained in. Give "
                + " ".join(f"--config.{flag}={value}" for flag, value in wrong.items())
                + ", as it was for that model."
            )
        settings = config.copy_and_resolve_references()
        settings.edges, settings.batch_norm.epsilon = edges, epsilon
        return settings

    def input(self, data: TrainingInput) -> TrainingInput:
        """The images on the scale that the model's network knows."""
        ours, theirs = data.class_names, self.description.class_names
        if theirs is not None and len(theirs) == len(ours) and theirs != ours:
            logging.warning(
                "init_from: the classes of %s have other names than those of the data; its "
                "classifier is taken all the same, class by class.",
                self.path,
            )
        return data.scaled_as(self.description.preprocessing)

    def first_state(self, program: TrainProgram) -> Callable[[], TrainState]:
        """The function that makes the state before the first step, with the model's weights.

        Raises:
            ValueError: If they are damaged; of a training that has begun, when the function is
                called, as it needs them only if it has saved nothing.
        """
        first = functools.cache(lambda: start_from(self.path, program)[0])
        if not self.has_begun:
            first()
        return first


def start_from(
    path: str | os.PathLike[str], program: TrainProgram
) -> tuple[TrainState, tuple[str, ...]]:
    """The state before the first step, with a trained model's weights, and new heads.

    Args:
        path: A model's folder or a training's workdir.
        program: Of the training, whose own initial weights are used for what is new.

    Returns:
        The state, and the names of the parameters that are new: those of the classifier for other
        classes, and of the auxiliary head, which is never in a model.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no model, or a damaged one.
    """
    _, parameters, statistics = read_model(path)
    abstract = jax.eval_shape(program.init)
    new = (
        *_new_variables(abstract.parameters, parameters),
        *_new_variables(abstract.statistics, statistics),
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
    logging.log(
        logging.WARNING if names else logging.INFO,
        "init_from: weights from %s; new and untrained: %s.",
        path,
        ", ".join(names) or "none",
    )
    return state, names


def _function(macro: Macro, edges: str, epsilon: float) -> dict[str, Any]:
    """What a network computes with its weights depends on these, by the names of their flags."""
    skeleton = {
        _FLAGS.get(name, f"model.{name}"): value
        for name, value in dataclasses.asdict(macro).items()
        if name not in _FREE
    }
    return {**skeleton, "edges": edges, "batch_norm.epsilon": epsilon}


def _new_variables(wanted: nnx.State, trained: nnx.State) -> list[tuple[Any, ...]]:
    """Lists the places of the variables that are not in the model, or not of this shape."""
    found = {place: variable.shape for place, variable in nnx.to_flat_state(trained)}
    return [
        place for place, variable in nnx.to_flat_state(wanted) if found.get(place) != variable.shape
    ]


def _filled(fresh: nnx.State, trained: nnx.State, new: Collection[tuple[Any, ...]]) -> nnx.State:
    """The trained variables, and the fresh ones in the new places."""
    found = dict(nnx.to_flat_state(trained))
    return nnx.from_flat_state(
        {
            place: variable if place in new else found[place]
            for place, variable in nnx.to_flat_state(fresh)
        }
    )
