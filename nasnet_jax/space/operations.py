"""The vocabulary of the NASNet search space: 13 operations and 2 ways to combine them.

The operations and their order are those of section 3 of the paper (arXiv 1707.07012). An operation
is known by its name everywhere; in decisions it is its index in `OPERATIONS`, and a combiner its
index in `COMBINERS`. How an operation computes is written once, in `nasnet_jax.nn`; what it costs,
in `nasnet_jax.space.cost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Term(NamedTuple):
    """One word of the vocabulary.

    Attributes:
        name: The identifier used in architectures, JSON files and parameter trees.
        label: The short form that the paper's figures write into the boxes.
        description: One line of prose.
    """

    name: str
    label: str
    description: str


_OPERATION_TERMS = (
    Term("identity", "identity", "The hidden state itself; a 1x1 convolution where shapes differ."),
    Term("conv_1x3_3x1", "conv 1x3-3x1", "A 1x3 convolution, then a 3x1 convolution."),
    Term("conv_1x7_7x1", "conv 1x7-7x1", "A 1x7 convolution, then a 7x1 convolution."),
    Term("dilated_conv_3x3", "dil 3x3", "A 3x3 convolution with dilation rate 2."),
    Term("avg_pool_3x3", "avg 3x3", "3x3 average pooling; padding does not enter the mean."),
    Term("max_pool_3x3", "max 3x3", "3x3 max pooling."),
    Term("max_pool_5x5", "max 5x5", "5x5 max pooling."),
    Term("max_pool_7x7", "max 7x7", "7x7 max pooling."),
    Term("conv_1x1", "conv 1x1", "A 1x1 convolution."),
    Term("conv_3x3", "conv 3x3", "A 3x3 convolution."),
    Term("sep_conv_3x3", "sep 3x3", "A 3x3 depthwise-separable convolution, applied twice."),
    Term("sep_conv_5x5", "sep 5x5", "A 5x5 depthwise-separable convolution, applied twice."),
    Term("sep_conv_7x7", "sep 7x7", "A 7x7 depthwise-separable convolution, applied twice."),
)

_COMBINER_TERMS = (
    Term("add", "+", "Element-wise addition of the two results."),
    Term("concat", "++", "Concatenation along channels, then a 1x1 convolution back to F filters."),
)

OPERATIONS: tuple[str, ...] = tuple(term.name for term in _OPERATION_TERMS)
"""Names of the 13 operations, in the paper's order; the index is the value of a decision."""

COMBINERS: tuple[str, ...] = tuple(term.name for term in _COMBINER_TERMS)
"""Names of the combiners; the index is the value of a decision."""

LABELS: Mapping[str, str] = MappingProxyType(
    {term.name: term.label for term in _OPERATION_TERMS + _COMBINER_TERMS}
)
"""The short form of every operation and combiner, for drawings."""

DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {term.name: term.description for term in _OPERATION_TERMS + _COMBINER_TERMS}
)
"""One line of prose for every operation and combiner."""
