"""Cells that people designed, in the words of the search space: what a search has to beat.

A block of the space adds (or concatenates) two operations, so what is a single operation elsewhere
takes a second one that changes no function class:

- `_conv(s)`: a 3x3 convolution of state s is the sum of a 3x3 and a 1x1 convolution of it. The 1x1 one is
  the middle of a 3x3 kernel, so the sum is what one 3x3 convolution can be (as in RepVGG; Ding et al.,
  2021, arXiv 2101.03697), each with a normalization of its own.
- `_twice(op, s)`: what pools or passes on is added to itself, and the next normalization undoes the
  factor 2; two 1x1 convolutions of a state add up to one.

In the space every convolution stands behind a ReLU and before a normalization, every cell's inputs are
projected to F channels, and h_{i-1} is there in every cell: these cells do not read it, nor output it.
Each has 5 blocks, like NASNet-A, so that it can be trained beside it. Depth and width are those of the
skeleton around the cells.
"""

from __future__ import annotations

from nasnet_jax.space.architecture import Architecture, Block, Cell


def _conv(state: int) -> Block:
    return Block(state, state, "conv_3x3", "conv_1x1")


def _twice(operation: str, state: int) -> Block:
    return Block(state, state, operation, operation)


def _both(left: str, left_state: int, right: str, right_state: int) -> Block:
    """Two branches side by side, brought to F channels by a 1x1 convolution."""
    return Block(left_state, right_state, left, right, "concat")


VGG = Architecture(
    normal=Cell(tuple(_conv(s) for s in (0, 2, 3, 4, 5)), outputs=(6,)),
    reduction=Cell(
        (_twice("max_pool_3x3", 0), *(_conv(s) for s in (2, 3, 4, 5))),
        outputs=(6,),
    ),
)
"""VGG (Simonyan & Zisserman, 2014, arXiv 1409.1556): convolutions of 3x3 one behind the other.

Normal cell: five `_conv` in a chain. Reduction cell: its 2x2 max pooling of stride 2 is one of 3x3 here,
the smallest in the space, and four convolutions follow. There was no batch normalization in VGG.
"""

RESNET = Architecture(
    normal=Cell(
        (
            _conv(0),
            Block(2, 0, "conv_3x3", "identity"),
            _conv(3),
            Block(4, 3, "conv_3x3", "identity"),
            _twice("identity", 5),
        ),
        outputs=(6,),
    ),
    reduction=Cell(
        (
            _conv(0),
            Block(2, 0, "conv_3x3", "conv_1x1"),
            _conv(3),
            Block(4, 3, "conv_3x3", "identity"),
            _twice("identity", 5),
        ),
        outputs=(6,),
    ),
)
"""ResNet with pre-activation (He et al., 2016, arXiv 1603.05027): two basic blocks in a cell.

Normal cell: x + conv3x3(conv3x3(x)), two times; the fifth block only passes on. Reduction cell: the first
convolution strides, and the shortcut is a 1x1 convolution of stride 2.
"""

INCEPTION = Architecture(
    normal=Cell(
        (
            _both("conv_1x1", 0, "avg_pool_3x3", 0),
            _twice("conv_1x1", 0),
            _both("conv_3x3", 3, "conv_1x7_7x1", 3),
            _conv(3),
            _conv(5),
        ),
        outputs=(2, 4, 6),
    ),
    reduction=Cell(
        (
            _both("max_pool_3x3", 0, "conv_3x3", 0),
            _twice("conv_1x1", 0),
            _both("conv_3x3", 3, "conv_1x7_7x1", 3),
            _conv(3),
            _conv(5),
        ),
        outputs=(2, 4, 6),
    ),
)
"""Inception-v3 (Szegedy et al., 2015, arXiv 1512.00567): branches of different sizes side by side.

Normal cell: state 2 is the 1x1 branch beside the pooled one, with the 1x1 convolution behind the pooling;
state 3 the 1x1 convolution in front of the larger branches; state 4 the 3x3 branch beside the 7x7 one, as
1x7 and 7x1; states 5 and 6 the two 3x3 convolutions in a row. The cell concatenates 2, 4 and 6. Reduction
cell: state 2 is the max pooling beside a 3x3 convolution, both of stride 2; in the other branches the 1x1
convolution strides, where the original's last one does. All branches are F wide, where the original has
widths of its own, and its branches share no first convolution.
"""

DENSENET = Architecture(
    normal=Cell(
        (
            _conv(0),
            _both("conv_3x3", 2, "conv_3x3", 0),
            _both("conv_3x3", 3, "conv_3x3", 2),
            _both("conv_3x3", 4, "conv_3x3", 3),
            _both("conv_3x3", 5, "conv_3x3", 4),
        ),
        outputs=(0, 2, 3, 4, 5, 6),
    ),
    reduction=Cell(
        (
            _twice("avg_pool_3x3", 0),
            _conv(2),
            _both("conv_3x3", 3, "conv_3x3", 2),
            _both("conv_3x3", 4, "conv_3x3", 3),
            _both("conv_3x3", 5, "conv_3x3", 4),
        ),
        outputs=(2, 3, 4, 5, 6),
    ),
)
"""DenseNet (Huang et al., 2017, arXiv 1608.06993): layers that read what came before, all concatenated.

Normal cell: five layers; each reads the two states before it, since a block has two inputs, where the
original reads all, and the output concatenates all of them with the input. Reduction cell: the
transition, the 1x1 convolution in front of every cell and an average pooling (3x3 here, 2x2 there), then
four layers. The growth rate is F.
"""

XCEPTION = Architecture(
    normal=Cell(
        tuple(Block(s, s, "sep_conv_3x3", "identity") for s in (0, 2, 3, 4, 5)),
        outputs=(6,),
    ),
    reduction=Cell(
        (
            Block(0, 0, "sep_conv_3x3", "conv_1x1"),
            *(Block(s, s, "sep_conv_3x3", "identity") for s in (2, 3, 4, 5)),
        ),
        outputs=(6,),
    ),
)
"""Xception (Chollet, 2017, arXiv 1610.02357): separable convolutions with a shortcut around them.

Normal cell: x + sep3x3(x), five times; the space's separable convolution is two in a row, where the
original's middle flow has three. Reduction cell: a first one that strides, where the original pools,
beside its shortcut, a 1x1 convolution of stride 2.
"""
