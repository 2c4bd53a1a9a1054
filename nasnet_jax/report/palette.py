"""The colours and words of drawings, shared by the figures and the report's page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nasnet_jax.space.operations import (
    FORMS,
    LABELS,
    OPERATIONS,
    Identity,
    Pool,
    SeparableConvolution,
)

FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "identity": "#e3e5e8",
        "convolution": "#f9d9b4",
        "separable": "#fdf0ae",
        "pooling": "#c5dcf5",
        "combine": "#c9e7c2",
        "state": "#ffffff",
        "output": "#e6d3ee",
    }
)
"""Fill colours by what a box is; text in `INK` is readable on all of them."""

INK = "#1d2430"
"""Text and the frames of boxes."""

LINE = "#5b6675"
"""The lines from state to state; seen on white and on the report's dark ground."""


def family(operation: str) -> str:
    """Returns the key of an operation in `FAMILIES`."""
    match FORMS[operation]:
        case Identity():
            return "identity"
        case Pool():
            return "pooling"
        case SeparableConvolution():
            return "separable"
    return "convolution"


def operation_boxes() -> list[tuple[str, str]]:
    """Returns label and colour of every operation, in the order of `OPERATIONS`."""
    return [(LABELS[name], FAMILIES[family(name)]) for name in OPERATIONS]
