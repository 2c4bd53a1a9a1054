"""The devices as a mesh: of a search, and of a training."""

from __future__ import annotations

import jax
import ml_collections
import numpy as np
from absl import logging
from jax.sharding import Mesh

from nasnet_jax.platform import find_devices


def search_mesh(arch: int, data: int) -> Mesh:
    """The mesh `('arch', 'data')` of a search, over all devices.

    Raises:
        ValueError: If the devices do not fill it.
    """
    devices = find_devices()
    if len(devices) % data:
        raise ValueError(
            f"mesh.data={data} does not divide the {len(devices)} devices that JAX sees "
            f"({devices[0].platform}). Set it to a number that does, or to 1."
        )
    if arch == -1:
        arch = len(devices) // data
    if arch * data != len(devices):
        raise ValueError(
            f"mesh.arch={arch} times mesh.data={data} does not make the {len(devices)} devices "
            f"that JAX sees ({devices[0].platform}). Set mesh.arch=-1 to use what is there."
        )
    return Mesh(np.array(devices).reshape(arch, data), ("arch", "data"))


def training_mesh(config: ml_collections.ConfigDict) -> Mesh:
    """The mesh of a training with the one axis `data`, over as many devices as divide the batch evenly.

    A group of examples that batch normalization looks at together is not split over devices.

    Raises:
        ValueError: If there are several processes and not all of their devices can be used.
    """
    devices = find_devices()
    part = config.batch_size // config.accumulation_steps
    units = part // (config.batch_norm.group_size or 1)
    used = max(n for n in range(1, len(devices) + 1) if units % n == 0)
    if used < len(devices):
        message = (
            f"{used} of {len(devices)} devices can be used: {part} examples at a time (batch_size / "
            f"accumulation_steps) in groups of batch_norm.group_size {config.batch_norm.group_size} "
            "cannot be dealt evenly to more. All are used with "
            f"{fitting_batches(config, len(devices))}; the learning rate follows the batch."
        )
        if jax.process_count() > 1:
            raise ValueError(f"{message} With several processes all must be used.")
        logging.warning(message)
    return Mesh(np.array(devices[:used]), ("data",))


def fitting_batches(config: ml_collections.ConfigDict, num_devices: int) -> str:
    """The flags for the nearest batches that can be dealt to all devices, for people."""
    unit = num_devices * (config.batch_norm.group_size or 1) * config.accumulation_steps
    below = config.batch_size // unit * unit
    return " or ".join(f"--config.batch_size={size}" for size in (below, below + unit) if size)
