"""From a published file to a saved model, or to a sentence that says why not."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from nasnet_jax.inference.description import ModelDescription
from nasnet_jax.inference.published.cadene import CADENE
from nasnet_jax.inference.published.keras import KERAS
from nasnet_jax.inference.published.networks import NETWORKS, NORM_EPSILON, Layer, layer_at, layers
from nasnet_jax.inference.published.slim import SLIM
from nasnet_jax.inference.published.source import Source, Tensors
from nasnet_jax.inference.published.timm import TIMM
from nasnet_jax.inference.saved_model import save_model
from nasnet_jax.paths import local_path
from nasnet_jax.space import NASNET_A

SOURCES: dict[str, Source] = {"keras": KERAS, "timm": TIMM, "cadene": CADENE, "slim": SLIM}

_CLASSES = 1000
"""Of ImageNet. slim, and some who converted its weights, have one more in front: the background."""
_NAMED_IN_ERRORS = 3


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
        description, config={"imported_from": source, "weights": path.name}
    )
    save_model(output, description, parameters, statistics)
    return description


def convert(source: str, tensors: Tensors) -> tuple[ModelDescription, nnx.State, nnx.State]:
    """Makes a network of a source's tensors.

    Args:
        source: One of `SOURCES`.
        tensors: By the source's names and in its layout. 1,001 classes become 1,000, without the
            first (the background); without a classifier, the model gives features.

    Returns:
        The description, the parameters and the statistics.

    Raises:
        ValueError: If these are not the tensors of a NASNet-A of the source.
    """
    here = SOURCES[source]
    network, classes = _recognised(here, tensors)
    listed = layers(dataclasses.replace(NETWORKS[network], num_classes=classes))
    _check(f"NASNet-A {network.title()} from {here.title}", tensors, _shapes(here, listed))
    arrays = {
        (*layer.path, leaf): here.to_ours(layer.kind, tensors[name])
        for layer in listed
        for leaf, name in here.names(layer).items()
    }
    if classes == _CLASSES + 1:
        classes = _CLASSES
        for path in (("head", "linear", "kernel"), ("head", "linear", "bias")):
            arrays[path] = arrays[path][..., 1:]
    description = ModelDescription(
        architecture=NASNET_A,
        macro=dataclasses.replace(NETWORKS[network], num_classes=classes),
        preprocessing=here.preprocessing[network],
        layers={"norm_epsilon": NORM_EPSILON, "edges": here.edges[network]},
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
    return _shapes(SOURCES[source], layers(macro))


def _shapes(source: Source, listed: list[Layer]) -> dict[str, tuple[int, ...]]:
    return {
        name: source.shape(layer.kind, layer.shapes[leaf])
        for layer in listed
        for leaf, name in source.names(layer).items()
    }


def _recognised(source: Source, tensors: Tensors) -> tuple[str, int | None]:
    """Which network the tensors are of, by its first layer, and how many classes it has."""
    for network in source.edges:
        stem, head = (
            layer_at(path, {"kernel": (), "bias": ()}, NETWORKS[network])
            for path in (("stem", "conv"), ("head", "linear"))
        )
        first, bias = source.names(stem)["kernel"], source.names(head)["bias"]
        if first not in tensors:
            raise ValueError(
                f"It has no {first!r}, with which {source.title}'s NASNet-A begins. Check --source, "
                "and that the file is a NASNet-A's."
            )
        # Everywhere the stem's kernel is the one whose largest side is its number of filters.
        if max(tensors[first].shape, default=0) == NETWORKS[network].stem_filters:
            return network, tensors[bias].shape[0] if bias in tensors else None
    known = " or ".join(network.title() for network in source.edges)
    raise ValueError(
        f"Its first kernel, {first!r}, has the shape {tensors[first].shape}, which is not that of "
        f"NASNet-A {known} from {source.title}. Check --source; no other network can be imported."
    )


def _check(title: str, tensors: Tensors, expected: dict[str, tuple[int, ...]]) -> None:
    """Compares names and shapes, and finds what no training leaves behind.

    Raises:
        ValueError: With the first few of each kind of difference.
    """
    misshapen = [
        f"{name} {tensors[name].shape} instead of {shape}"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]
    not_numbers = [
        name
        for name in expected
        if name in tensors
        and not (tensors[name].dtype.kind == "f" and np.isfinite(tensors[name]).all())
    ]
    faults = {
        "missing": [name for name in expected if name not in tensors],
        "not expected": [name for name in tensors if name not in expected],
        "of another shape": misshapen,
        "not finite floating-point numbers": not_numbers,
    }
    found = [
        f"{len(names)} {fault} ({', '.join(names[:_NAMED_IN_ERRORS])}"
        f"{', ...' if len(names) > _NAMED_IN_ERRORS else ''})"
        for fault, names in faults.items()
        if names
    ]
    if found:
        raise ValueError(
            f"It is not {title}; of its tensors are {'; '.join(found)}. Check --source, and get the "
            "file again if it may be damaged."
        )
