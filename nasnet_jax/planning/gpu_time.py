"""How long a GPU is kept busy by being asked: an estimate, from few measurements.

An NVIDIA H200 with JAX 0.11.2 took 10 microseconds for a conditional (`benchmarks/results/gpu`), and 25
and 50 ms for a step of a child alone at quickstart and proxy size, of 894 kernels and 122 round trips a
cell as compiled. With 10 microseconds a round trip that leaves about 4 for a kernel: these small ones are
bound by being launched. Kernels within a CUDA graph cost less, by how much has not been measured here.
"""

from __future__ import annotations

from nasnet_jax.planning.launches import Launches

KERNEL_SECONDS = 4e-6
ROUND_TRIP_SECONDS = 10e-6


def launching_seconds(launches: Launches) -> float:
    """Seconds that launching and waiting take, whatever is computed."""
    return KERNEL_SECONDS * launches.kernels + ROUND_TRIP_SECONDS * launches.round_trips
