"""What may be another one when a training goes on, and when nothing of it is left to do."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
from absl import logging

from nasnet_jax.inference.saved_model import MODEL_FILE, MODEL_FOLDER
from nasnet_jax.run_files import SUMMARY_FILE
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

    def has_nothing_left() -> bool:
        model = place.path / MODEL_FOLDER / MODEL_FILE
        if not model.exists() or not (place.path / SUMMARY_FILE).exists():
            return False
        return place.read(SUMMARY_FILE).get("epochs", config.epochs) >= config.epochs

    if not of_first_process(has_nothing_left):
        return None
    if jax.process_index() == 0:
        logging.warning("The training in %s is finished; nothing is left to do.", place.path)
    return place.read(SUMMARY_FILE)
