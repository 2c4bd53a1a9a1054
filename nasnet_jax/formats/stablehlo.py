"""A trained network as one StableHLO artefact that needs JAX alone, and not this package."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from nasnet_jax.inference.model import Model
from nasnet_jax.platform import usual_arithmetic

PLATFORMS = ("cpu", "cuda", "tpu")


def on_pixels(model: Model) -> Callable[[jax.Array], jax.Array]:
    """The network as a function of pixels from 0 to 255, `[batch, height, width, channels]`."""
    preprocessing = model.description.preprocessing
    graph, state = nnx.split(model.network)

    def network(images: jax.Array) -> jax.Array:
        mean, std = jnp.array(preprocessing.mean), jnp.array(preprocessing.std)
        return nnx.merge(graph, state)((images.astype(jnp.float32) - mean) / std)

    return network


@usual_arithmetic()
def export_network(model: Model, *, platforms: Sequence[str] = PLATFORMS) -> bytes:
    """Compiles a network to StableHLO with its weights inside.

    The result, read with `jax.export.deserialize`, is a function of uint8 images `[batch, image
    height, image width, channels]` for any number of images, already of the network's size, that
    returns float32 logits `[batch, classes]` (features, for a network without classifier). The
    scaling of pixels is inside it, resizing is not.

    Args:
        model: The network; load it with `fold=True` for the fastest artefact.
        platforms: JAX's names of the platforms that it shall run on.
    """
    preprocessing = model.description.preprocessing
    (batch,) = jax.export.symbolic_shape("batch")
    shape = (batch, *preprocessing.image_size, preprocessing.channels)
    exported = jax.export.export(jax.jit(on_pixels(model)), platforms=tuple(platforms))(
        jax.ShapeDtypeStruct(shape, jnp.uint8)
    )
    return bytes(exported.serialize())


def stablehlo_files(model: Model) -> dict[str, bytes]:
    """The artefact, and beside it `.json` on how to use it."""
    notes = {
        "platforms": list(PLATFORMS),
        "preprocessing": model.description.preprocessing.to_data(),
        "class_names": model.class_names,
    }
    return {"": export_network(model), ".json": json_bytes(notes)}


def json_bytes(data: object) -> bytes:
    """As a file holds it."""
    return (json.dumps(data, indent=2) + "\n").encode()
