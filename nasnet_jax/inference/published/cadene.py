"""Cadene's `nasnetamobile` and `nasnetalarge` (the package `pretrainedmodels`)."""

from __future__ import annotations

from nasnet_jax.inference.published import torch_files, torch_layout
from nasnet_jax.inference.published.source import Source, cropped

CADENE = Source(
    title="Cadene",
    read=torch_files.read,
    names=torch_layout.names,
    separator=".",
    spellings=torch_layout.spellings,
    axes=torch_layout.AXES,
    edges={"mobile": "cadene_mobile", "large": "cadene_large"},
    preprocessing={"mobile": cropped(224, 256), "large": cropped(331, 354)},
)
