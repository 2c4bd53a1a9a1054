from __future__ import annotations

import dataclasses
import json

import pytest

from nasnet_jax.inference import ModelDescription, Preprocessing, serving_layers
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.space import NASNET_A, Macro

LARGE = ModelDescription(
    architecture=NASNET_A,
    macro=Macro(
        num_cells=6,
        num_filters=168,
        num_classes=None,
        image_size=(331, 320),
        stem="imagenet",
        skip_reduction_layer_input=True,
    ),
    preprocessing=Preprocessing.imagenet((331, 320)),
    layers=serving_layers(LayerConfig(norm_epsilon=1e-3, edges="keras")),
)


def test_json_gives_back_what_was_written(description: ModelDescription) -> None:
    for written in (description, LARGE):
        assert ModelDescription.from_json(written.to_json()) == written


def test_the_networks_layers_are_those_described() -> None:
    config = LARGE.layer_config(norm_decay=0.5)
    assert (config.norm_epsilon, config.edges, config.norm_decay) == (1e-3, "keras", 0.5)


def test_parts_that_do_not_fit_are_refused(description: ModelDescription) -> None:
    for fields, message in (
        ({"class_names": ("a", "b")}, "2 class names for a network of 4"),
        ({"preprocessing": Preprocessing.cifar((8, 8), channels=1)}, "1 channels"),
        ({"layers": {"norm_decay": 0.9}}, "norm_decay"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(description, **fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "something else"}, "does not describe a model"),
        ({"version": 2}, "format version 2"),
        ({"macro": {"num_cells": 1}}, "damaged"),
        ({"macro": None}, "damaged"),
        ({"preprocessing": {"sice": 1}}, "damaged"),
        ({"class_names": ["a"]}, "1 class names"),
    ],
)
def test_damaged_and_newer_descriptions_say_so(
    description: ModelDescription, change: dict, message: str
) -> None:
    data = json.loads(description.to_json()) | change
    with pytest.raises(ValueError, match=message):
        ModelDescription.from_json(json.dumps(data))


def test_a_missing_part_and_broken_json_say_so(description: ModelDescription) -> None:
    data = json.loads(description.to_json())
    del data["preprocessing"]
    with pytest.raises(ValueError, match="damaged: 'preprocessing'"):
        ModelDescription.from_json(json.dumps(data))
    with pytest.raises(ValueError, match="not JSON"):
        ModelDescription.from_json(description.to_json()[:-20])
