"""NASNet architecture search and transfer in JAX and Flax NNX.

An architecture is data, so one compiled program trains every architecture of the NASNet space, a
different one on every accelerator core. The parts, each a package:

- `nasnet_jax.space`: what an architecture is, and what it costs;
- `nasnet_jax.search`: `run(config, workdir)` searches;
- `nasnet_jax.train`: `run(config, workdir)` trains one architecture at any size;
- `nasnet_jax.inference`: loads checkpoints and predicts with them;
- `nasnet_jax.report`: draws architectures and searches.

`Architecture`, `NASNet`, `Supernet` and `load` stand here for convenience. Everything is imported
when it is first asked for: `nasnet_jax.space` needs no JAX, `nasnet_jax.inference` no TensorFlow,
so neither waits for them.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nasnet_jax import search, train
    from nasnet_jax.inference import load
    from nasnet_jax.nn.nasnet import NASNet
    from nasnet_jax.space import Architecture
    from nasnet_jax.supernet import Supernet

# Before JAX, which would set it to 1, or TensorFlow is loaded: the compiled parts of both say nothing.
# What goes wrong arrives here as an exception, too, and is told once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"

_SUBMODULES = (
    "data",
    "formats",
    "inference",
    "nn",
    "planning",
    "report",
    "search",
    "serving",
    "space",
    "supernet",
    "train",
)
_MODULE_OF = {
    "Architecture": "nasnet_jax.space",
    "NASNet": "nasnet_jax.nn.nasnet",
    "Supernet": "nasnet_jax.supernet",
    "load": "nasnet_jax.inference",
}

__all__ = ["Architecture", "NASNet", "Supernet", "__version__", "load", "search", "train"]


def __getattr__(name: str) -> object:
    """Imports `name` on first use (PEP 562)."""
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Lists what can be asked for, imported or not."""
    return sorted({*globals(), *_SUBMODULES, *_MODULE_OF})
