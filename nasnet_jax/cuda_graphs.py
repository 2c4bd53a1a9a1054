"""What asks XLA to make one CUDA graph of a search's program, so that no loop waits for the host.

Without it XLA keeps loops of unknown length, and conditionals around convolutions, on the host. These are
options of one compilation: what else a process compiles is as it was, and JAX may have been started.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_OPTIONS = {
    # What may become part of a graph: XLA's defaults, then loops and convolutions, without which
    # neither loops nor the conditionals of their layers may.
    "xla_gpu_enable_command_buffer": (
        "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE,CONVOLUTION"
    ),
    # From one on, for a loop counts as one; by default it takes five.
    "xla_gpu_graph_min_graph_size": "1",
}


def compiler_options(
    *, wanted: bool, platform: str, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The options with which to compile a search's program.

    Args:
        wanted: Whether graphs are (`mesh.cuda_graphs`).
        platform: Of the devices, as JAX calls it; none but GPUs have graphs.
        environment: Its `XLA_FLAGS` win: what is set there is left alone.
    """
    if not wanted or platform not in ("gpu", "cuda"):
        return {}
    flags = environment.get("XLA_FLAGS", "").split()
    given = {flag.removeprefix("--").partition("=")[0] for flag in flags}
    return {name: value for name, value in _OPTIONS.items() if name not in given}
