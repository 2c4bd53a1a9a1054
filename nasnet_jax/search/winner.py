"""The winner of a search as a model: its weights in the static network, ready to be loaded."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import nnx

from nasnet_jax.data.augment import standardize
from nasnet_jax.inference.description import ModelDescription, serving_layers
from nasnet_jax.inference.preprocessing import Preprocessing
from nasnet_jax.inference.saved_model import MODEL_FILE, MODEL_FOLDER, save_model
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.search.child_trainer import ChildTrainer, TrainedChild
from nasnet_jax.space import Architecture, Macro
from nasnet_jax.supernet import extract_network

STATISTICS_IMAGES = 1024
"""Training images, at least, over which batch normalization's statistics are taken; all, where there
are fewer. A child has none: its reward is measured with those of the batch."""


def has_model(folder: pathlib.Path, winner: Architecture, *, rerank_epochs: int) -> bool:
    """Whether the workdir holds the model of this winner, of a re-ranking of so many epochs."""
    path = folder / MODEL_FOLDER / MODEL_FILE
    if not path.exists():
        return False
    description = ModelDescription.from_json(path.read_text(encoding="utf-8"))
    trained = (description.config or {}).get("rerank", {}).get("epochs", rerank_epochs)
    return description.architecture == winner.canonical() and trained == rerank_epochs


def save_winner(
    folder: pathlib.Path,
    config: ml_collections.ConfigDict,
    trainer: ChildTrainer,
    winner: TrainedChild,
) -> None:
    """Writes the model of a search into its workdir. In a pod all processes call it.

    Args:
        folder: The workdir.
        config: Of the search.
        trainer: That trained the winner.
        winner: In its canonical form, as the trainer keeps it.

    Raises:
        FloatingPointError: If it diverged; nothing is written then.
    """
    images, mean, std = trainer.training_images
    layers = trainer.supernet.config
    network = extract_network(
        trainer.solo,
        winner.architecture,
        winner.params,
        trainer.solo.launch([winner.architecture]),
    )
    params = nnx.state(network, nnx.Param)
    _check_finite(params)
    statistics = batch_statistics(
        winner.architecture,
        trainer.macro,
        params,
        standardize(jnp.asarray(_sample(images, config)), mean, std),
        layers=layers,
        batch_size=config.child.batch_size,
    )
    description = ModelDescription(
        architecture=winner.architecture,
        macro=trainer.macro,
        preprocessing=Preprocessing.standardized(trainer.macro.image_height_width, mean, std),
        class_names=trainer.class_names,
        layers=serving_layers(layers),
        config=json.loads(config.to_json_best_effort()),
    )
    # Of NumPy, which a pod's processes all hold alike.
    save_model(folder / MODEL_FOLDER, description, *jax.device_get((params, statistics)))


def _check_finite(arrays: Any) -> None:
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(arrays)):
        raise FloatingPointError("The best child diverged: its numbers are not finite.")


def _sample(images: np.ndarray, config: ml_collections.ConfigDict) -> np.ndarray:
    """Whole batches of different images, drawn at random, since data sets may lie sorted."""
    size = config.child.batch_size
    number = min(math.ceil(STATISTICS_IMAGES / size), len(images) // size) * size
    rng = np.random.default_rng((config.seed, 2))
    return images[rng.choice(len(images), number, replace=False)]


def batch_statistics(
    architecture: Architecture,
    macro: Macro,
    params: nnx.State,
    images: jax.Array,
    *,
    layers: LayerConfig,
    batch_size: int,
) -> nnx.State:
    """Mean and variance of every batch normalization, the averages of those of the batches.

    Args:
        architecture: Of the network.
        macro: Its skeleton.
        params: Its `nnx.Param` state.
        images: `[number, height, width, channels]`, prepared; whole batches.
        layers: What its layers have in common.
        batch_size: As in the training.

    Returns:
        The network's `nnx.BatchStat` state.

    Raises:
        FloatingPointError: If that, or a logit, is not finite.
    """
    # Without decay, a call leaves behind the statistics of its batch.
    config = LayerConfig(
        dtype=layers.dtype,
        norm_decay=0.0,
        norm_epsilon=layers.norm_epsilon,
        norm_group=layers.norm_group,
        edges=layers.edges,
    )
    network = nnx.eval_shape(lambda: NASNet(architecture, macro, config=config, rngs=nnx.Rngs(0)))
    graph, *states = nnx.split(network, nnx.Param, nnx.BatchStat)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), states[1])

    @jax.jit
    def of_batch(params: nnx.State, batch: jax.Array) -> tuple[nnx.State, jax.Array]:
        network = nnx.merge(graph, params, zeros, copy=True)
        logits = network(batch)
        return nnx.state(network, nnx.BatchStat), logits

    batches = images.reshape(-1, batch_size, *images.shape[1:])
    found = [of_batch(params, batch) for batch in batches]
    _check_finite(found)
    return jax.tree.map(lambda *values: sum(values) / len(values), *(state for state, _ in found))
