"""Measuring a trained model on the test images of a data set."""

from __future__ import annotations

import os

import jax
import numpy as np
from absl import logging
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasnet_jax.data import open_test_source
from nasnet_jax.data.pipeline import eval_batches
from nasnet_jax.inference.saved_model import read_model
from nasnet_jax.platform import find_devices, usual_arithmetic
from nasnet_jax.train.evaluation import Evaluation, Evaluator, from_processes
from nasnet_jax.train.input import preparation


@usual_arithmetic()
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
        path: A model's folder, or the workdir of a training or a search.
        dataset: As for `nasnet_jax.data.open_test_source`.
        data_dir: Folder of TFDS's prepared data sets.
        split: Of TFDS; any, or a part of one.
        batch_size: Images at a time, all at most; rounded up to a multiple of the number of devices.

    Raises:
        FileNotFoundError: If the model or the data set is not there.
        ValueError: If the folder holds no model, or if the data set is not of the model's kind.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, but it is {batch_size}.")
    description, parameters, statistics = read_model(path)
    source = open_test_source(dataset, data_dir=data_dir, split=split)
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
    mesh = Mesh(np.array(find_devices()), ("data",))
    replicated = NamedSharding(mesh, PartitionSpec())
    graph, *_ = nnx.split(description.abstract_network(), nnx.Param, nnx.BatchStat)
    batches = eval_batches(
        source,
        preparation(description.preprocessing),
        batch_size=-(-min(batch_size, len(source)) // mesh.size) * mesh.size,
        host_index=jax.process_index(),
        host_count=jax.process_count(),
    )
    parameters, statistics = from_processes(replicated, (parameters, statistics))
    return Evaluator(graph, mesh)(parameters, statistics, batches)
