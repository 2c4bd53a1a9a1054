"""NASNet-A, the best architecture that the paper found."""

from __future__ import annotations

from nasnet_jax.space.architecture import Architecture, Block, Cell

NASNET_A = Architecture(
    normal=Cell(
        (
            Block(0, 1, "sep_conv_5x5", "sep_conv_3x3"),
            Block(1, 1, "sep_conv_5x5", "sep_conv_3x3"),
            Block(0, 1, "avg_pool_3x3", "identity"),
            Block(1, 1, "avg_pool_3x3", "avg_pool_3x3"),
            Block(0, 0, "sep_conv_3x3", "identity"),
        ),
        outputs=(1, 2, 3, 4, 5, 6),
    ),
    reduction=Cell(
        (
            Block(0, 1, "sep_conv_5x5", "sep_conv_7x7"),
            Block(0, 1, "max_pool_3x3", "sep_conv_7x7"),
            Block(0, 1, "avg_pool_3x3", "sep_conv_5x5"),
            Block(3, 2, "identity", "avg_pool_3x3"),
            Block(2, 0, "sep_conv_3x3", "max_pool_3x3"),
        ),
        outputs=(3, 4, 5, 6),
    ),
)
"""NASNet-A as released by its authors (TF-slim `nasnet.py`, checkpoints included).

The released code joins one state more in each cell than the paper's Figure 4: the previous input in
the normal cell (states 1 to 6 instead of 2 to 6) and block 2 in the reduction cell (states 3 to 6
instead of 4 to 6). The published sizes and parameter counts are those of the code.
`NASNET_A.with_rule_outputs()` is the figure.
"""
