"""The devices that a command uses."""

from __future__ import annotations

import os

import jax


def use_every_core() -> None:
    """On CPU, makes one device of every core, so that the parallel path is the only path.

    `JAX_NUM_CPU_DEVICES` overrides it. It must be called before JAX looks for its devices, and does
    nothing to TPUs and GPUs.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
