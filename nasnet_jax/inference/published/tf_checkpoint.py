"""Checkpoints of TensorFlow, those that name variables and those that describe objects."""

from __future__ import annotations

import pathlib

from nasnet_jax.inference.published.source import Tensors

ENDING = ".index"
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
_IN_SAVED_MODEL = "variables"


def find(file: pathlib.Path) -> pathlib.Path:
    """The prefix of a checkpoint's files.

    Args:
        file: `model.ckpt`, or its `.index` file, or the folder that holds one checkpoint or a
            SavedModel.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
    """
    if file.is_dir():
        found = sorted([*file.glob("*.index"), *(file / _IN_SAVED_MODEL).glob("*.index")])
        if len(found) != 1:
            raise FileNotFoundError(
                f"{str(file)!r} holds {len(found)} checkpoints (.index files). Name one of them."
            )
        file = found[0]
    prefix = file.with_suffix("") if file.suffix == ENDING else file
    if not prefix.with_name(prefix.name + ".index").is_file():
        raise FileNotFoundError(
            f"There is no checkpoint {str(prefix)!r}: {prefix.name}.index is missing."
        )
    return prefix


def read(prefix: pathlib.Path) -> Tensors:
    """Reads all numbers of a checkpoint, by the names of their variables.

    Raises:
        ValueError: If it is damaged.
    """
    # Only here, since nothing else in nasnet_jax.inference needs TensorFlow.
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        types = reader.get_variable_to_dtype_map()
        names = _variables(reader.get_tensor(_OBJECTS)) if _OBJECTS in types else {}
        return {
            names.get(key, key): reader.get_tensor(key)
            for key, kind in sorted(types.items())
            if kind != tf.string
        }
    except (tf.errors.OpError, RuntimeError, IndexError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"The checkpoint {str(prefix)!r} cannot be read: {reason} It may have been "
            "cut short: unpack it again, and keep its files together."
        ) from error


def _variables(graph: bytes) -> dict[str, str]:
    """The names of variables by their keys in a checkpoint that says which object has which."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    objects = trackable_object_graph_pb2.TrackableObjectGraph.FromString(graph)
    return {
        attribute.checkpoint_key: attribute.full_name
        for node in objects.nodes
        for attribute in node.attributes
        if attribute.full_name
    }
