"""Training of one architecture as a static NASNet, at the size at which it is to be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasnet_jax.train.config import default_config

if TYPE_CHECKING:
    from nasnet_jax.train.loop import run

__all__ = ["default_config", "run"]


def __getattr__(name: str) -> object:
    """Imports the loop on first use (PEP 562): TensorFlow comes with it, and configs need neither."""
    if name == "run":
        from nasnet_jax.train.loop import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
