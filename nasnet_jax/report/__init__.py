"""Drawings and reports of architectures and searches.

`write_report(workdir)` and `LiveReport(workdir)` are imported when they are first asked for: they
bring the library for plots with them, which nothing else needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nasnet_jax.report.live import LiveReport
    from nasnet_jax.report.page import write_report

__all__ = ["LiveReport", "write_report"]


def __getattr__(name: str) -> object:
    """Imports `name` on first use (PEP 562)."""
    if name == "LiveReport":
        from nasnet_jax.report.live import LiveReport

        return LiveReport
    if name == "write_report":
        from nasnet_jax.report.page import write_report

        return write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
