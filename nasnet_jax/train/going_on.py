"""What may be another one when a training goes on, and when nothing of it is left to do."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
from absl import logging

from nasnet_jax.inference.saved_model import MODEL_FILE, MODEL_FOLDER
from nasnet_jax.run_files import ARCHITECTURE_FILE, CONFIG_FILE
from nasnet_jax.space import Architecture
from nasnet_jax.train.config import config_architecture
from nasnet_jax.workdir import MayChange, Workdir, always, of_first_process

_MAY_CHANGE: MayChange = {
    "architecture": always,  # The one in the workdir counts.
    "log_steps": always,
    "checkpoints_to_keep": always,
    "best_checkpoints_to_keep": always,
    "profile": always,
    # Or a training that has met a damaged image would meet it again.
    "dataset.skip_damaged": always,
}


def may_change(config: ml_collections.ConfigDict) -> MayChange:
    """What may be another one in a configuration, in so far as it depends on that.

    More epochs are the same training for longer where nothing before depends on how many there are:
    neither the learning rate nor the share of paths that are dropped.
    """
    if config.optimizer.schedule == "exponential" and not config.drop_path.final_drop_prob:
        return {**_MAY_CHANGE, "epochs": operator.le}
    return _MAY_CHANGE


def reasons(config: ml_collections.ConfigDict) -> Mapping[str, str]:
    """Why other fields may not be."""
    if config.optimizer.schedule == "cosine":
        epochs = "the cosine of the learning rate ends with them"
    elif config.drop_path.final_drop_prob:
        epochs = "the share of dropped paths rises until their end"
    else:
        return {"epochs": "what is trained is not taken back"}
    return {
        "epochs": f"{epochs}, so every step would have been another; init_from begins another training "
        "with these weights"
    }


def finished_summary(place: Workdir, config: ml_collections.ConfigDict) -> dict[str, Any] | None:
    """The summary of a training that is there and has nothing left to do."""

    def has_nothing_left(summary: dict[str, Any]) -> bool:
        model = place.path / MODEL_FOLDER / MODEL_FILE
        return model.exists() and summary.get("epochs", config.epochs) >= config.epochs

    return place.finished_summary("training", has_nothing_left)


def own_architecture(config: ml_collections.ConfigDict, place: Workdir) -> Architecture:
    """That of the training, whatever is in the file by now that it was read from.

    Raises:
        ValueError: If `config.architecture` is none, or another one than that of the training.
        FileNotFoundError: If its file is not there.
    """
    path = place.path / ARCHITECTURE_FILE
    if not place.has_begun or not of_first_process(path.exists):
        return config_architecture(config)
    own = Architecture.load(path)
    as_before = place.read(CONFIG_FILE)["architecture"] == config.architecture
    try:
        asked_for = config_architecture(config)
    except (ValueError, OSError):
        if not as_before:
            raise
        asked_for = None
    if asked_for != own and not as_before:
        raise ValueError(
            f"This training began with the architecture in {path}, but config.architecture now "
            "names another one. Choose another --workdir."
        )
    if asked_for != own and jax.process_index() == 0:
        logging.warning(
            "%s is no longer what this training began with; it goes on with the architecture in %s.",
            config.architecture,
            path,
        )
    return own
