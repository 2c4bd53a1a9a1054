"""From a published file to a saved model, or to a sentence that says why not."""

from __future__ import annotations

import dataclasses
import os

from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from nasnet_jax.inference.description import ModelDescription
from nasnet_jax.inference.published.cadene import CADENE
from nasnet_jax.inference.published.keras import KERAS
from nasnet_jax.inference.published.networks import NETWORKS, NORM_EPSILON, layers
from nasnet_jax.inference.published.recognition import begins, counted, recognise, shapes
from nasnet_jax.inference.published.slim import SLIM
from nasnet_jax.inference.published.source import Source, Tensors
from nasnet_jax.inference.published.timm import TIMM
from nasnet_jax.inference.saved_model import save_model
from nasnet_jax.paths import local_path
from nasnet_jax.space import NASNET_A

SOURCES: dict[str, Source] = {"keras": KERAS, "timm": TIMM, "cadene": CADENE, "slim": SLIM}

_CLASSES = 1000
"""Of ImageNet. slim, and some who converted its weights, have one more in front: the background."""
_NAMED_IN_MESSAGES = 3


def import_weights(
    source: str, weights: str | os.PathLike[str], output: str | os.PathLike[str]
) -> ModelDescription:
    """Reads published weights and saves them as a model that `nasnet_jax.load` loads.

    Args:
        source: One of `SOURCES`.
        weights: The file (for slim, the checkpoint).
        output: The folder of the model, as for `save_model`.

    Returns:
        The description of the model that was written.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is damaged or is not this source's NASNet-A; nothing is written then.
    """
    path = local_path(weights)
    tensors = SOURCES[source].read(path)
    try:
        description, parameters, statistics = convert(source, tensors)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} cannot be imported: {error}") from error
    description = dataclasses.replace(
        description, config={**description.config, "weights": path.name}
    )
    save_model(output, description, parameters, statistics)
    return description


def convert(source: str, tensors: Tensors) -> tuple[ModelDescription, nnx.State, nnx.State]:
    """Makes a network of a source's tensors.

    Args:
        source: One of `SOURCES`.
        tensors: In its layout, by its names, old ones and wrapped ones included: see `matching`.
            1,001 classes become 1,000, without the first (the background); without a classifier,
            the model gives features.

    Returns:
        The description, the parameters and the statistics. The description's `config` says what was
        `left_out`, and what became the `classifier` where it is not the source's own.

    Raises:
        ValueError: If these are not the tensors of a NASNet-A of the source.
    """
    here = SOURCES[source]
    try:
        network = recognise(tensors, here)
    except ValueError as error:
        others = [name for name, other in SOURCES.items() if begins(tensors, other)]
        if source in others or not others:
            raise
        raise ValueError(f"{error} It looks like --source={' or '.join(others)}.") from error
    arrays = {
        (*layer.path, leaf): here.to_ours(layer.kind, network.tensors[name])
        for layer in network.layers
        for leaf, name in here.names(layer).items()
    }
    classes = network.classes
    if classes == _CLASSES + 1:
        classes = _CLASSES
        for path in (("head", "linear", "kernel"), ("head", "linear", "bias")):
            arrays[path] = arrays[path][..., 1:]
    config = {"imported_from": source}
    if network.classifier is not None:
        config["classifier"] = network.classifier
    if network.left_out:
        config["left_out"] = counted(network.left_out, "tensors")
    description = ModelDescription(
        architecture=NASNET_A,
        macro=dataclasses.replace(NETWORKS[network.name], num_classes=classes),
        preprocessing=here.preprocessing[network.name],
        layers={"norm_epsilon": NORM_EPSILON, "edges": here.edges[network.name]},
        config=config,
    )
    abstract = description.abstract_network()
    parameters, statistics = (nnx.state(abstract, kind) for kind in (nnx.Param, nnx.BatchStat))
    for state in (parameters, statistics):
        paths = flatten_dict(nnx.to_pure_dict(state))
        nnx.replace_by_pure_dict(state, unflatten_dict({path: arrays[path] for path in paths}))
    return description, parameters, statistics


def expected_shapes(source: str, network: str, classes: int | None) -> dict[str, tuple[int, ...]]:
    """The tensors that a source's file has, by its names, with their shapes in its layout.

    Args:
        source: One of `SOURCES`.
        network: `mobile` or `large`, of those that the source has.
        classes: Outputs of the classifier, or `None` without one.
    """
    macro = dataclasses.replace(NETWORKS[network], num_classes=classes)
    return shapes(SOURCES[source], layers(macro))
