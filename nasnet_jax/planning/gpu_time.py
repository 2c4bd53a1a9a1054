"""How long a GPU is kept busy by being asked: an estimate, from few measurements.

An NVIDIA H200 with JAX 0.11.2 took 10 microseconds for a conditional, and 25 and 50 ms for a step of
a child alone at quickstart and proxy size, by an earlier program (`benchmarks/results/gpu`), 5.0 and
6.3 ms for each of its cells. `compile_check` counted 935 kernels and 91 round trips in a cell of it at
proxy size. With 10 microseconds for each of these, that leaves about 5 for a kernel: they are small, and
bound by being launched. Within a CUDA graph it is less, by how much has not been measured.
"""

from __future__ import annotations

import ml_collections

from nasnet_jax.planning.launches import Launches
from nasnet_jax.planning.turns import search_turns
from nasnet_jax.search.child_program import make_child_program
from nasnet_jax.space import Macro

KERNEL_SECONDS = 5e-6
ROUND_TRIP_SECONDS = 10e-6

CHUNK = Launches(kernels=40)
"""Of a tape's chunk, both ways, with its share of a step's rest; compiled for an H200, K=64, s=16."""


def launching_seconds(launches: Launches) -> float:
    """Seconds that launching and waiting take, whatever is computed."""
    return KERNEL_SECONDS * launches.kernels + ROUND_TRIP_SECONDS * launches.round_trips


def child_step_seconds(config: ml_collections.ConfigDict, macro: Macro) -> float:
    """What launching takes of a child's step on a GPU, beside as many others as a search trains at once.

    Args:
        config: Of the search.
        macro: Its skeleton.
    """
    supernet = make_child_program(config, macro, platform="gpu").supernet
    turns = search_turns(supernet, macro)
    chunks = sum(tape.chunks for tape in turns.tapes.values())
    launches = CHUNK.times(chunks) + Launches(round_trips=turns.most_round_trips or 0.0)
    if config.mesh.cuda_graphs:
        launches = Launches(launches.kernels)
    return launching_seconds(launches) / turns.children
