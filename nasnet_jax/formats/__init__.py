"""Trained networks written for other runtimes, none of which needs this package."""

from nasnet_jax.formats.exporting import FORMATS, load_for, write_export
from nasnet_jax.formats.stablehlo import export_network

__all__ = ["FORMATS", "export_network", "load_for", "write_export"]
