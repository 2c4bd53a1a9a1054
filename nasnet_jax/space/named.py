"""The architectures that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nasnet_jax.space.architecture import Architecture
from nasnet_jax.space.hand_designed import DENSENET, INCEPTION, RESNET, VGG, XCEPTION
from nasnet_jax.space.nasnet_a import NASNET_A

NAMED: Mapping[str, Architecture] = MappingProxyType(
    {
        "nasnet_a": NASNET_A,
        "vgg": VGG,
        "resnet": RESNET,
        "inception": INCEPTION,
        "densenet": DENSENET,
        "xception": XCEPTION,
    }
)
"""By what a config or a command line calls them."""

NOT_EXPRESSED: Mapping[str, str] = MappingProxyType(
    {
        "nasnet_b": (
            "NASNet-B is no architecture of this space: its cells take four hidden states and pass all "
            "four that they make on, where a cell here takes two and concatenates; and its search could "
            "also combine by an addition with layer or instance normalization."
        ),
        "nasnet_c": (
            "NASNet-C is not here: its search could also combine by an addition with layer or instance "
            "normalization, which this space lacks, and its cells were published as a drawing only."
        ),
    }
)
"""Cells of the paper's appendix B (arXiv 1707.07012) that are asked for, and why they are not there."""
