"""What may be another one when a search goes on, and when nothing of it is left to do."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import ml_collections

from nasnet_jax.run_files import CONFIG_FILE
from nasnet_jax.search.winner import has_model
from nasnet_jax.space import Architecture
from nasnet_jax.workdir import MayChange, Workdir, always

MAY_CHANGE: MayChange = {
    "num_children": operator.le,
    "checkpoints_to_keep": always,
    "rerank.top_k": always,
    "rerank.epochs": always,
    "reference": always,
    "mesh.arch": always,
}

REASONS: Mapping[str, str] = {
    "seed": "all that is drawn follows from it",
    "num_blocks": "it is another space",
    "num_children": "what is trained already is not taken back",
    "children_per_batch": "the strategy has learnt batch by batch",
    "retrain_duplicates": "it decides which rewards are measured anew",
    "dataset": "the rewards are accuracies on these images",
    "strategy": "what it has learnt belongs to it",
    "child": "the rewards that are there are of such children",
    "halving": "it decides how long the children that are there were trained",
    "reward": "the rewards that are there mean something else",
    "limits": "they decided what was proposed",
    "warm_start": "it was learnt from at the start",
    "mesh.data": "batch normalization is over a device's part of a batch",
    "mesh.children_per_device": "it decides in which order numbers are added",
    "mesh.chunk": "it decides in which order numbers are added",
}
"""Why the other fields, or those in these parts, may not."""


def finished_summary(place: Workdir, config: ml_collections.ConfigDict) -> dict[str, Any] | None:
    """The summary of a search that is there and has nothing left to do."""

    def has_nothing_left(summary: dict[str, Any]) -> bool:
        if not summary["finished"] or summary["children"] < config.num_children:
            return False
        if summary.get("reference", []) != list(config.reference):
            return False
        rerank = config.rerank.to_dict()
        # An earlier version did not note it.
        if summary.get("rerank", place.read(CONFIG_FILE)["rerank"]) != rerank:
            return False
        winner = Architecture.from_one_line(summary["best_architecture"])
        return has_model(place.path, winner, rerank_epochs=config.rerank.epochs)

    return place.finished_summary("search", has_nothing_left)
