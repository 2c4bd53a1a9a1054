"""Measures a trained model: `python -m nasnet_jax.evaluate --checkpoint=DIR --dataset=NAME`."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING

from absl import app, flags, logging

if TYPE_CHECKING:
    from nasnet_jax.train.evaluation import Evaluation

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "A model's folder or a training's workdir.", required=True
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "digits, folder:PATH, or a name of TFDS.", required=True
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of TFDS's prepared data sets.")
_SPLIT = flags.DEFINE_string(
    "split", None, "TFDS's split; by default `test`, or `validation` without it."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Images at a time, on all devices together.")
_JSON = flags.DEFINE_bool("json", False, "Whether to print JSON.")


def evaluate(
    path: str | os.PathLike[str],
    dataset: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    split: str | None = None,
    batch_size: int = 64,
) -> Evaluation:
    """Measures a model on the test images of a data set, prepared as the model says.

    Args:
        path: A model's folder or a training's workdir.
        dataset: As for `nasnet_jax.data.open_sources`.
        data_dir: Folder of TFDS's prepared data sets.
        split: Of TFDS.
        batch_size: Images at a time; rounded up to a multiple of the number of devices.

    Raises:
        FileNotFoundError: If the model or the data set is not there.
        ValueError: If the folder holds no model, or if the data set is not of the model's kind.
    """
    import jax
    import numpy as np
    from flax import nnx
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    from nasnet_jax.data import open_sources
    from nasnet_jax.data.pipeline import eval_batches
    from nasnet_jax.inference.saved_model import read_model
    from nasnet_jax.train.evaluation import Evaluator
    from nasnet_jax.train.input import preparation

    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, but it is {batch_size}.")
    description, parameters, statistics = read_model(path)
    _, source = open_sources(dataset, data_dir=data_dir, test_split=split)
    classes, names = description.macro.num_classes, description.class_names
    if classes != len(source.class_names):
        raise ValueError(
            f"The model in {os.fspath(path)} has {classes or 'no'} classes, but {source.name} has "
            f"{len(source.class_names)}. Evaluate it on the classes that it was trained on."
        )
    if names is not None and names != tuple(source.class_names):
        logging.warning(
            "The model calls its classes otherwise than %s: %s, not %s. Labels are compared by "
            "number.",
            source.name,
            ", ".join(names[:5]),
            ", ".join(source.class_names[:5]),
        )
    if description.preprocessing.channels != source.channels:
        raise ValueError(
            f"The model in {os.fspath(path)} takes images of {description.preprocessing.channels} "
            f"channels, but those of {source.name} have {source.channels}."
        )
    mesh = Mesh(np.array(jax.devices()), ("data",))
    replicated = NamedSharding(mesh, PartitionSpec())
    graph, *_ = nnx.split(description.abstract_network(), nnx.Param, nnx.BatchStat)
    batches = eval_batches(
        source,
        preparation(description.preprocessing),
        batch_size=-(-batch_size // mesh.size) * mesh.size,
        host_index=jax.process_index(),
        host_count=jax.process_count(),
    )
    parameters, statistics = jax.device_put((parameters, statistics), replicated)
    return Evaluator(graph, mesh)(parameters, statistics, batches)


def main(argv: list[str]) -> None:
    """Parses the command line, evaluates and prints."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    from nasnet_jax.command import ending_for_people
    from nasnet_jax.platform import use_every_core

    use_every_core()
    with ending_for_people():
        result = evaluate(
            _CHECKPOINT.value,
            _DATASET.value,
            data_dir=_DATA_DIR.value,
            split=_SPLIT.value,
            batch_size=_BATCH_SIZE.value,
        )
    if _JSON.value:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        print(f"top-1 {result.top1:.4f}, top-5 {result.top5:.4f}, loss {result.loss:.4f}, ", end="")
        print(f"{result.count} images")


if __name__ == "__main__":
    app.run(main)
