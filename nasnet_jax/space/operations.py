"""The vocabulary of the NASNet search space: 13 operations and 2 ways to combine them.

The operations and their order are those of section 3 of the paper (arXiv 1707.07012). An operation
is known by its name everywhere; in decisions it is its index in `OPERATIONS`, and a combiner its
index in `COMBINERS`. What an operation is made of, its form, stands here too: `nasnet_jax.nn` makes
modules of forms, `nasnet_jax.space.cost` counts them, and neither knows an operation by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple


class Identity(NamedTuple):
    """The hidden state itself; where the shape must change, a 1x1 convolution."""


class Convolution(NamedTuple):
    """A convolution of `size` x `size`."""

    size: int
    dilation: int = 1


class FactorizedConvolution(NamedTuple):
    """A convolution of 1 x `size`, then one of `size` x 1."""

    size: int


class SeparableConvolution(NamedTuple):
    """A depthwise convolution of `size` x `size` and a pointwise one, both applied twice."""

    size: int


class Pool(NamedTuple):
    """The largest or the mean of `size` x `size` numbers."""

    kind: Literal["max", "average"]
    size: int


Form = Identity | Convolution | FactorizedConvolution | SeparableConvolution | Pool
"""What an operation is made of."""


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


class Operation(NamedTuple):
    """An operation: a term, and what it is made of."""

    name: str
    label: str
    description: str
    form: Form


_OPERATIONS = (
    Operation(
        "identity",
        "identity",
        "The hidden state itself; a 1x1 convolution where shapes differ.",
        Identity(),
    ),
    Operation(
        "conv_1x3_3x1",
        "conv 1x3-3x1",
        "A 1x3 convolution, then a 3x1 convolution.",
        FactorizedConvolution(3),
    ),
    Operation(
        "conv_1x7_7x1",
        "conv 1x7-7x1",
        "A 1x7 convolution, then a 7x1 convolution.",
        FactorizedConvolution(7),
    ),
    Operation(
        "dilated_conv_3x3",
        "dil 3x3",
        "A 3x3 convolution with dilation rate 2.",
        Convolution(3, dilation=2),
    ),
    Operation(
        "avg_pool_3x3",
        "avg 3x3",
        "3x3 average pooling; padding does not enter the mean.",
        Pool("average", 3),
    ),
    Operation("max_pool_3x3", "max 3x3", "3x3 max pooling.", Pool("max", 3)),
    Operation("max_pool_5x5", "max 5x5", "5x5 max pooling.", Pool("max", 5)),
    Operation("max_pool_7x7", "max 7x7", "7x7 max pooling.", Pool("max", 7)),
    Operation("conv_1x1", "conv 1x1", "A 1x1 convolution.", Convolution(1)),
    Operation("conv_3x3", "conv 3x3", "A 3x3 convolution.", Convolution(3)),
    Operation(
        "sep_conv_3x3",
        "sep 3x3",
        "A 3x3 depthwise-separable convolution, applied twice.",
        SeparableConvolution(3),
    ),
    Operation(
        "sep_conv_5x5",
        "sep 5x5",
        "A 5x5 depthwise-separable convolution, applied twice.",
        SeparableConvolution(5),
    ),
    Operation(
        "sep_conv_7x7",
        "sep 7x7",
        "A 7x7 depthwise-separable convolution, applied twice.",
        SeparableConvolution(7),
    ),
)

_COMBINERS = (
    Term("add", "+", "Element-wise addition of the two results."),
    Term("concat", "++", "Concatenation along channels, then a 1x1 convolution back to F filters."),
)

OPERATIONS: tuple[str, ...] = tuple(operation.name for operation in _OPERATIONS)
"""Names of the 13 operations, in the paper's order; the index is the value of a decision."""

COMBINERS: tuple[str, ...] = tuple(term.name for term in _COMBINERS)
"""Names of the combiners; the index is the value of a decision."""

FORMS: Mapping[str, Form] = MappingProxyType(
    {operation.name: operation.form for operation in _OPERATIONS}
)
"""The form of every operation."""

_TERMS = (*_OPERATIONS, *_COMBINERS)

LABELS: Mapping[str, str] = MappingProxyType({term.name: term.label for term in _TERMS})
"""The short form of every operation and combiner, for drawings."""

DESCRIPTIONS: Mapping[str, str] = MappingProxyType({term.name: term.description for term in _TERMS})
"""One line of prose for every operation and combiner."""
