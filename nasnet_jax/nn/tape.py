"""What the cells of a stage are made of, as data: their architecture, operations and parameters.

`nasnet_jax.nn.stage` runs them. A reduction cell's operations on its two inputs halve the size, all
others do not. The layers that do it run first (`nasnet_jax.nn.halving`), so that a reduction cell and
the normal cells behind it have one tape and share its branches.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nasnet_jax.nn.layer_table import LayerTable
from nasnet_jax.nn.layers import LayerConfig, Projection
from nasnet_jax.nn.packing import Packing, initial_slots, kernel_mask
from nasnet_jax.space import OPERATIONS, Cell

HALVES = 2


class CellArrays(NamedTuple):
    """The architecture of one cell as arrays, or of a batch of cells with leading axes.

    Attributes:
      inputs: int32 `[B, 2]`, the states that a block's two operations read.
      operations: int32 `[B, 2]`, indices into `nasnet_jax.space.OPERATIONS`.
      halves: bool `[B, 2]`, whether the operation halves the size.
      concat: bool `[B]`, whether a block concatenates (and projects) instead of adding.
      outputs: float32 `[B + 2]`, 1 for the states that the cell's output concatenates, else 0.
    """

    inputs: Any
    operations: Any
    halves: Any
    concat: Any
    outputs: Any


class CellParameters(NamedTuple):
    """Parameters of one cell's blocks.

    Attributes:
      slots: `[B, 2, rows, F]`, for each block's two operations (see `packing`).
      projections: `[B, rows, F]`, for the 1x1 convolutions of blocks that concatenate.
    """

    slots: Any
    projections: Any


class Tape(NamedTuple):
    """The cells of a stage, which have one shape; static and hashable.

    Attributes:
      features: F of the cells.
      reduces: whether the first of them is a reduction cell.
      config: what all layers have in common.
    """

    features: int
    reduces: bool
    config: LayerConfig

    @property
    def table(self) -> LayerTable:
        """The layers that a slot may hold."""
        return LayerTable(self.features, self.config)

    @property
    def projection(self) -> Packing:
        """For blocks that concatenate."""
        return _projection_packing(self)

    def shapes(self, num_cells: int, num_blocks: int) -> CellParameters:
        """Shapes and types of the parameters of so many cells, along a leading axis."""
        many, last = (num_cells, num_blocks), self.features
        return CellParameters(
            jax.ShapeDtypeStruct((*many, HALVES, self.table.rows, last), jnp.float32),
            jax.ShapeDtypeStruct((*many, self.projection.rows, last), jnp.float32),
        )

    def init(self, draws: CellParameters, cells: CellArrays) -> CellParameters:
        """Initial parameters from truncated normal numbers of deviation 1 in their shapes."""
        slots = initial_slots(self.table.packings, chosen(cells), draws.slots)
        projected = jnp.zeros(cells.concat.shape, jnp.int32)
        projections = initial_slots([[self.projection]], projected, draws.projections)
        return CellParameters(slots, projections)

    def kernels(self, cells: CellArrays) -> CellParameters:
        """1 where a parameter is a kernel in use, so that L2 decays it, else 0."""
        rows, table = self.projection.rows, self.table
        slots = kernel_mask(table.packings, chosen(cells), table.rows, self.features)
        projected = jnp.zeros(cells.concat.shape, jnp.int32)
        projections = kernel_mask([[self.projection]], projected, rows, self.features)
        return CellParameters(slots, projections * cells.concat[..., None, None])


@functools.cache
def _projection_packing(tape: Tape) -> Packing:
    def make() -> Projection:
        return Projection(tape.features, config=tape.config, rngs=nnx.Rngs(0))

    return Packing(nnx.eval_shape(make))


def chosen(cells: CellArrays) -> Any:
    """Which row of the `LayerTable` each slot holds, `[..., B, 2]`."""
    return cells.operations + len(OPERATIONS) * cells.halves


def cell_arrays(cell: Cell, *, reduction: bool) -> CellArrays:
    """The arrays of a normal or a reduction cell, as NumPy would hold them."""
    blocks = cell.blocks
    index = {name: position for position, name in enumerate(OPERATIONS)}
    inputs = np.array([(b.left_input, b.right_input) for b in blocks], np.int32)
    outputs = np.zeros(len(blocks) + 2, np.float32)
    outputs[list(cell.outputs)] = 1.0
    return CellArrays(
        inputs=inputs,
        operations=np.array([(index[b.left_op], index[b.right_op]) for b in blocks], np.int32),
        halves=(inputs < 2) & reduction,
        concat=np.array([b.combine == "concat" for b in blocks]),
        outputs=outputs,
    )
