"""timm's `nasnetalarge`; timm has no Mobile."""

from __future__ import annotations

from nasnet_jax.inference.published import torch_files, torch_layout
from nasnet_jax.inference.published.source import Source, cropped

TIMM = Source(
    title="timm",
    read=torch_files.read,
    names=torch_layout.names,
    separator=".",
    spellings=torch_layout.spellings,
    axes=torch_layout.AXES,
    edges={"large": "timm"},
    # crop_pct 0.911, which timm's own evaluation turns into floor(331 / 0.911) = 363 pixels. It
    # resizes bicubically, and we linearly.
    preprocessing={"large": cropped(331, 363)},
)
