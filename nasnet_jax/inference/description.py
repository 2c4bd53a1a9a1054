"""What a saved model says about itself: all that is needed to build and to feed its network."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from flax import nnx

from nasnet_jax.inference.preprocessing import Preprocessing
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import Architecture, Macro

FORMAT = "nasnet_jax model"
VERSION = 1
"""Raised when a reader of the version before would misread a `model.json`."""

_SERVED_LAYER_FIELDS = ("norm_epsilon", "edges")
"""The fields of `LayerConfig` that change what a trained network computes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """A network, how to feed it, and what its outputs mean.

    Attributes:
        architecture: The cells.
        macro: The skeleton.
        preprocessing: From an image to the network's input.
        class_names: The name of each output, or `None` where they are not known.
        layers: The fields of `LayerConfig` that serving needs; see `serving_layers`.
        config: The configuration of the run that made the model, as plain data; `{}` without one.

    Raises:
        ValueError: If the parts do not fit each other.
    """

    architecture: Architecture
    macro: Macro
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None = None
    layers: dict[str, Any] = dataclasses.field(default_factory=dict)
    config: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.class_names is not None:
            object.__setattr__(self, "class_names", tuple(self.class_names))
            if len(self.class_names) != (self.macro.num_classes or 0):
                raise ValueError(
                    f"There are {len(self.class_names)} class names for a network of "
                    f"{self.macro.num_classes or 0} classes."
                )
        if self.preprocessing.channels != self.macro.image_channels:
            raise ValueError(
                f"The images are prepared with {self.preprocessing.channels} channels for a network "
                f"that takes {self.macro.image_channels}."
            )
        unknown = sorted(set(self.layers) - set(_SERVED_LAYER_FIELDS))
        if unknown:
            raise ValueError(
                f"layers has {', '.join(unknown)}, but only {', '.join(_SERVED_LAYER_FIELDS)} "
                "matter to a trained network."
            )

    def layer_config(self, **fields: Any) -> LayerConfig:
        """The network's `LayerConfig`, with other `fields` than the served ones as they are given."""
        return LayerConfig(**self.layers, **fields)

    def abstract_network(self, **fields: Any) -> NASNet:
        """The network for inference, with shapes in place of arrays; arguments of `layer_config`."""

        def build() -> NASNet:
            config = self.layer_config(**fields)
            return NASNet(self.architecture, self.macro, config=config, rngs=nnx.Rngs(0))

        network = nnx.eval_shape(build)
        network.eval()
        return network

    def to_json(self) -> str:
        """Returns the description as JSON text."""
        data = {
            "format": FORMAT,
            "version": VERSION,
            "architecture": json.loads(self.architecture.to_json()),
            "macro": dataclasses.asdict(self.macro),
            "preprocessing": self.preprocessing.to_data(),
            "class_names": self.class_names,
            "layers": self.layers,
            "config": self.config,
        }
        return json.dumps(data, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelDescription:
        """Makes a description of what `to_json` returned.

        Raises:
            ValueError: If the text is something else, is damaged, or comes from a newer version.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"This is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
            ) from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"This JSON does not describe a model (its format is not {FORMAT!r}).")
        if data.get("version") != VERSION:
            raise ValueError(
                f"This model has the format version {data.get('version')!r}, and this nasnet_jax "
                f"reads {VERSION}. Install the nasnet_jax that wrote it, or a newer one."
            )
        try:
            return cls(
                architecture=Architecture.from_json(data["architecture"]),
                macro=Macro(**data["macro"]),
                preprocessing=Preprocessing.from_data(data["preprocessing"]),
                class_names=data["class_names"],
                layers=data["layers"],
                config=data["config"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"The description of this model is damaged: {error}.") from error


def serving_layers(config: LayerConfig) -> dict[str, Any]:
    """What `ModelDescription.layers` holds for a network with this configuration."""
    return {name: getattr(config, name) for name in _SERVED_LAYER_FIELDS}
