"""The search: a controller, the children that it proposes, and the loop around both."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nasnet_jax.search.loop import run

__all__ = ["run"]


def __getattr__(name: str) -> object:
    """Imports the loop when it is asked for, since JAX comes with it."""
    if name == "run":
        from nasnet_jax.search.loop import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
