"""The programs of a search and of a training, lowered for devices that need not be there.

They are the programs that run, made of the same `make_child_program` and `TrainProgram`; only the arrays
are replaced by their shapes.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nasnet_jax.mesh import fitting_batches
from nasnet_jax.planning.gpu import gpu_devices
from nasnet_jax.planning.search_size import SearchSize
from nasnet_jax.planning.topology import Topology
from nasnet_jax.platform import find_devices
from nasnet_jax.search.child_program import Control, Data, make_child_program
from nasnet_jax.train.config import check_config, config_architecture
from nasnet_jax.train.program import TrainProgram

_LIBTPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    # Nothing is run, so several compilations at a time may load it.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
"""So that libtpu does not look for the TPU that it describes."""


def topology_devices(topology: Topology) -> list[Any]:
    """The devices of a topology: real ones if it is `local`, else descriptions of TPU cores or GPUs.

    Raises:
        ValueError: If what JAX needs to describe them is not installed, or if libtpu does not know
            this slice.
    """
    if topology.is_local:
        return find_devices()
    if topology.is_gpu:
        return gpu_devices(topology)
    from jax.experimental import topologies

    for name, value in _LIBTPU.items():
        os.environ.setdefault(name, value)
    try:
        description = topologies.get_topology_desc(
            platform="tpu", topology_name=str(topology), **_description_options(topology)
        )
    # libtpu missing, unfit for this machine, or ignorant of the slice: each has its own type.
    except (RuntimeError, NotImplementedError, ModuleNotFoundError) as error:
        hint = (
            "" if importlib.util.find_spec("libtpu") else " It needs libtpu: pip install '.[tpu]'."
        )
        raise ValueError(f"JAX cannot describe {topology}: {error}.{hint}") from error
    return list(description.devices)


def _description_options(topology: Topology) -> dict[str, Any]:
    """What libtpu has to be told besides the slice's name."""
    options: dict[str, Any] = {}
    if topology.num_devices == 1:
        # It takes hosts for larger than that.
        options["chips_per_host_bounds"] = (1, 1, 1)
    if topology.chip is not None and topology.chip.name == "v4":
        # Both cores of a chip as one device, which is how JAX finds them on a real one.
        options["chip_config_name"] = "megacore"
    return options


def lower_search(
    config: ml_collections.ConfigDict, size: SearchSize, devices: Sequence[Any]
) -> jax.stages.Lowered:
    """Lowers the one program of a search.

    Raises:
        ValueError: If the configuration's mesh does not fit the devices.
    """
    shards = config.mesh.data
    if len(devices) % shards or config.mesh.arch not in (-1, len(devices) // shards):
        raise ValueError(
            f"mesh.arch={config.mesh.arch} times mesh.data={shards} does not make {len(devices)} "
            "devices."
        )
    mesh = Mesh(np.array(devices).reshape(-1, shards), ("arch", "data"))
    children = mesh.shape["arch"]
    replicated, by_child = NamedSharding(mesh, P()), NamedSharding(mesh, P("arch"))

    def whole(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=replicated)

    def for_each_child(tree: Any) -> Any:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((children, *x.shape), x.dtype, sharding=by_child), tree
        )

    program = make_child_program(config, size.macro, platform=devices[0].platform)
    one = program.supernet.launch([])
    key_data = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    image = (*size.macro.image_height_width, size.macro.image_channels)
    filled = size.evaluations * config.child.batch_size
    channels = (size.macro.image_channels,)
    data = Data(
        train_images=whole((size.num_train, *image), np.uint8),
        train_labels=whole((size.num_train,), np.int32),
        valid_images=whole((filled, *image), np.uint8),
        valid_labels=whole((filled,), np.int32),
        valid_mask=whole((filled,), np.float32),
        mean=whole(channels, np.float32),
        std=whole(channels, np.float32),
    )
    control = Control(
        first=whole((), np.bool_),
        start=whole((), np.int32),
        steps=whole((), np.int32),
        horizon=whole((), np.int32),
        evaluate=whole((), np.bool_),
    )
    key = whole(key_data.shape, key_data.dtype)
    arrays = jax.tree.map(np.asarray, one.tapes)
    return program.sharded(mesh).lower(
        for_each_child(program.shapes), for_each_child(arrays), control, key, data
    )


def lower_training(config: ml_collections.ConfigDict, devices: Sequence[Any]) -> jax.stages.Lowered:
    """Lowers the training step.

    Raises:
        ValueError: If the batch cannot be dealt evenly to the devices.
    """
    check_config(config)
    config = config.copy_and_resolve_references()
    if config.dtype == "auto":
        # What `auto` means on the devices, which need not be this machine's.
        config.dtype = "float32" if devices[0].platform == "cpu" else "bfloat16"
    part = config.batch_size // config.accumulation_steps
    units = part // (config.batch_norm.group_size or 1)
    if units % len(devices):
        raise ValueError(
            f"{part} examples at a time (batch_size / accumulation_steps) in groups of "
            f"batch_norm.group_size {config.batch_norm.group_size} cannot be dealt evenly to "
            f"{len(devices)} devices. It can with {fitting_batches(config, len(devices))}; the "
            "learning rate follows the batch."
        )
    mesh = Mesh(np.array(devices), ("data",))
    # How long an epoch is changes constants alone.
    program = TrainProgram(config, config_architecture(config), mesh, steps_per_epoch=1000.0)
    state = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=program.replicated),
        jax.eval_shape(program.init),
    )
    side, channels = config.dataset.image_size, config.dataset.channels
    shape = (config.accumulation_steps, part)
    images = jax.ShapeDtypeStruct(
        (*shape, side, side, channels), np.float32, sharding=program.by_example
    )
    labels = jax.ShapeDtypeStruct(shape, np.int32, sharding=program.by_example)
    return program.update.lower(state, images, labels, program.randomness)
