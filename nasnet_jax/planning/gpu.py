"""GPUs that are not there, described so that XLA compiles for them."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

from nasnet_jax.planning.topology import Topology

GPUS_OF_HOST = 8
"""Of a host with more than so many GPUs altogether, as the makers sell them (HGX)."""

_LIMITS = """
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  device_address_bits: 64
  device_vendor: "NVIDIA Corporation"
  driver_version: "13.0.0"
  runtime_version: "12.9.0"
  compile_time_toolkit_version: "12.9.0"
  dnn_version: "9.10.0"
"""
"""What the CUDA programming guide says of all these chips, and versions that can do what XLA may use."""

_LIBRARIES = 'platform_name: "CUDA"\ndnn_version_info { major: 9 minor: 10 patch: 0 }\n'


@dataclasses.dataclass(frozen=True)
class Multiprocessors:
    """What of a chip decides which program XLA makes for it.

    Attributes:
        number: Of its streaming multiprocessors.
        cores: Of each, for float32.
        clock: GHz, boosted.
        cache: Bytes of the level 2 cache.
        shared: Bytes of shared memory of each, and the most that one block may have.
        capability: The field of XLA's description with the compute capability.
    """

    number: int
    cores: int
    clock: float
    cache: int
    shared: tuple[int, int]
    capability: str


_HOPPER = Multiprocessors(
    132, 128, 1.98, 50 << 20, (228 << 10, 227 << 10), "major: 9 feature_extension: ACCELERATED_FEATURES"
)  # fmt: skip
MULTIPROCESSORS = {
    # NVIDIA's white papers on the A100 and H100 (SXM), and its CUDA programming guide.
    "a100": Multiprocessors(108, 64, 1.41, 40 << 20, (164 << 10, 163 << 10), "major: 8"),
    "h100": _HOPPER,
    "h200": _HOPPER,
}


def gpu_devices(topology: Topology) -> list[Any]:
    """Descriptions of a topology's GPUs.

    Raises:
        ValueError: If JAX's plugin for CUDA is not installed, or does not take the description.
    """
    from jax.experimental import topologies

    assert topology.chip is not None
    if not importlib.util.find_spec("jax_plugins"):
        raise ValueError(
            f"To compile for {topology} JAX needs its plugin for CUDA (no GPU): pip install '.[cuda]'."
        )
    number = topology.num_devices
    hosts, rest = divmod(number, GPUS_OF_HOST)
    sizes = (1, hosts, GPUS_OF_HOST) if hosts and not rest else (1, 1, number)
    try:
        description = topologies.get_topology_desc(
            platform="cuda",
            target_config=target_config(topology),
            topology="x".join(map(str, sizes)),
        )
    # A plugin that is for TPUs alone, or is older or newer than JAX: each has its own type.
    except (RuntimeError, NotImplementedError, ModuleNotFoundError) as error:
        raise ValueError(
            f"JAX cannot describe {topology}: {error}. It needs the plugin for CUDA of its own version: "
            "pip install '.[cuda]'."
        ) from error
    return list(description.devices)


def target_config(topology: Topology) -> str:
    """XLA's `GpuTargetConfigProto` of a topology's chip, as text."""
    assert topology.chip is not None
    chip, parts = topology.chip, MULTIPROCESSORS[topology.chip.name]
    return (
        f"gpu_device_info {{{_LIMITS}"
        f"  core_count: {parts.number}\n"
        f"  fpus_per_core: {parts.cores}\n"
        f"  clock_rate_ghz: {parts.clock}\n"
        f"  l2_cache_size: {parts.cache}\n"
        f"  shared_memory_per_core: {parts.shared[0]}\n"
        f"  shared_memory_per_block_optin: {parts.shared[1]}\n"
        f"  memory_bandwidth: {chip.bandwidth:.0f}\n"
        f"  device_memory_size: {chip.memory}\n"
        f"  cuda_compute_capability {{ {parts.capability} }}\n"
        f'  name: "{chip.name}"\n'
        f"}}\n{_LIBRARIES}"
        f'device_description_str: "NVIDIA {chip.name.upper()}"\n'
    )
