"""A trained network as one StableHLO artefact that needs JAX alone, and not this package."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from nasnet_jax.inference.model import Model
from nasnet_jax.paths import local_path
from nasnet_jax.platform import usual_arithmetic
from nasnet_jax.space.serialization import write_atomically

PLATFORMS = ("cpu", "cuda", "tpu")


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
    graph, state = nnx.split(model.network)

    def network(images: jax.Array) -> jax.Array:
        mean, std = jnp.array(preprocessing.mean), jnp.array(preprocessing.std)
        return nnx.merge(graph, state)((images.astype(jnp.float32) - mean) / std)

    (batch,) = jax.export.symbolic_shape("batch")
    shape = (batch, *preprocessing.image_size, preprocessing.channels)
    exported = jax.export.export(jax.jit(network), platforms=tuple(platforms))(
        jax.ShapeDtypeStruct(shape, jnp.uint8)
    )
    return bytes(exported.serialize())


def write_export(
    model: Model, file: str | os.PathLike[str], *, platforms: Sequence[str] = PLATFORMS
) -> pathlib.Path:
    """Writes `export_network`'s artefact to a file, and beside it `FILE.json` on how to use it.

    Returns:
        The path of the JSON file: size, scaling and resizing of the images, and class names.

    Raises:
        ValueError: If the file cannot be written.
    """
    artefact = local_path(file)
    if artefact.is_dir():
        raise ValueError(f"{str(artefact)!r} is a folder, but the artefact is a file.")
    code = export_network(model, platforms=platforms)
    notes = artefact.with_name(f"{artefact.name}.json")
    data = {
        "platforms": list(platforms),
        "preprocessing": model.description.preprocessing.to_data(),
        "class_names": model.class_names,
    }
    temporary = artefact.with_name(f".{artefact.name}.{os.getpid()}.tmp")
    try:
        artefact.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(code)
            os.replace(temporary, artefact)
        finally:
            temporary.unlink(missing_ok=True)
        write_atomically(notes, json.dumps(data, indent=2) + "\n")
    except OSError as error:
        raise ValueError(f"{str(artefact)!r} cannot be written: {error}") from error
    return notes
