"""How strided windows treat the borders of a map, where published ports of NASNet differ.

Weights give the published accuracy only with the borders that their network had. All ports agree on
everything of stride 1, on the stem and on the factorized reductions; what differs are the strided
operations of reduction cells:

* `same`: TF-slim, and so the paper's networks. TensorFlow's SAME: the odd zero goes behind, averages
  are over the pixels inside the image, and outside of it nothing is greater than a maximum.
* `keras`: one copy of the input, padded with zeros as for SAME, feeds the pools without padding. So
  averages are over whole windows, and zeros take part in maxima.
* `timm`: averages are over whole windows; the rest is SAME.
* `cadene_mobile`, `cadene_large`: windows lie symmetrically over the borders, except in the cells
  where the port shifts them to what SAME does. The two differ only where the side of a cell's input
  is even, which at the native sizes (224, 331) it is in shifted cells alone: there, both are SAME. Where
  a shifted cell gets an odd side the port itself fails, so there is nothing to be equal to.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from nasnet_jax.nn.convolution import Pads, same_pads
from nasnet_jax.nn.pooling import average_pool, max_pool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Borders:
    """What the strided operations of one cell do at the borders; the default is SAME.

    Attributes:
        symmetric: Whether windows reach equally far over both borders, as PyTorch's do, instead of
            further over the last one where the side is even.
        average_whole_windows: Whether an average divides by the size of the window, instead of by the
            number of its pixels inside the image.
        zeros_in_maximum: Whether the zeros outside of the image take part in a maximum.
    """

    symmetric: bool = False
    average_whole_windows: bool = False
    zeros_in_maximum: bool = False

    def padding(self, kernel_size: tuple[int, int], dilation: int = 1) -> str | Pads:
        """The padding of a convolution of odd sides: `'SAME'`, or zeros before and after each."""
        if not self.symmetric:
            return "SAME"
        rows, columns = ((side - 1) * dilation // 2 for side in kernel_size)
        return ((rows, rows), (columns, columns))

    def max_pool(self, x: jax.Array, size: int, stride: int) -> jax.Array:
        """Maximum over windows: `[batch, height, width, channels]` to ceil(h / stride)."""
        if self == SAME:
            return max_pool(x, size, stride)
        outside = 0.0 if self.zeros_in_maximum else -jnp.inf
        pads = ((0, 0), *self._pool_pads(x, size, stride), (0, 0))
        padded = jnp.pad(x, pads, constant_values=outside)
        return nnx.max_pool(padded, (size, size), (stride, stride), padding="VALID")

    def average_pool(self, x: jax.Array, size: int, stride: int) -> jax.Array:
        """Mean over windows: `[batch, height, width, channels]` to ceil(h / stride)."""
        if self == SAME:
            return average_pool(x, size, stride)
        pooled = nnx.avg_pool(
            x,
            (size, size),
            (stride, stride),
            padding=self._pool_pads(x, size, stride),
            count_include_pad=self.average_whole_windows,
        )
        return pooled.astype(x.dtype)

    def _pool_pads(self, x: jax.Array, size: int, stride: int) -> Pads:
        if self.symmetric:
            return ((size // 2, size // 2), (size // 2, size // 2))
        return same_pads(x.shape[1:3], (size, size), (stride, stride), (1, 1))


SAME = Borders()
_SYMMETRIC = Borders(symmetric=True)
_KERAS = Borders(average_whole_windows=True, zeros_in_maximum=True)
_TIMM = Borders(average_whole_windows=True)

_STRIDED_CELLS = ("cell_stem_0", "cell_stem_1", "reduction_cell_0", "reduction_cell_1")
_BY_CELL: dict[str, dict[str, Borders]] = {
    "same": {},
    "keras": dict.fromkeys(_STRIDED_CELLS, _KERAS),
    "timm": dict.fromkeys(_STRIDED_CELLS, _TIMM),
    "cadene_mobile": {"cell_stem_0": _SYMMETRIC},
    "cadene_large": dict.fromkeys(("cell_stem_0", "cell_stem_1", "reduction_cell_1"), _SYMMETRIC),
}

EDGES = tuple(_BY_CELL)
"""The names of the conventions, for `LayerConfig.edges`."""


def cell_borders(edges: str, cell: str) -> Borders:
    """The borders of the strided operations of a cell.

    Args:
        edges: One of `EDGES`.
        cell: Its name in the skeleton, such as `reduction_cell_0`.
    """
    return _BY_CELL[edges].get(cell, SAME)
