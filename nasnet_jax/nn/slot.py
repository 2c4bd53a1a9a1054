"""An operation of a block as a row of layers, forward and backward, inside the loops of a stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasnet_jax.nn.buffers import add_rows, put, take, take_rows
from nasnet_jax.nn.layer_table import LayerArrays, LayerTable


class Slot(NamedTuple):
    """One operation of a block.

    What its layers make before their normalization is written into `made[place][layer]`, and the
    gradient reads it there, so that no layer is computed twice, but for what is inside one: the depthwise
    convolution of a separable layer, which its pointwise kernel's gradient needs.

    Attributes:
      table: of its layers.
      place: of the slot: cell, block, half.
      layers: those it has. The ones up to `halving` have run in front of the stage, and an identity
        has none.
      parameters: of all its layers, `[rows, F]`.
    """

    table: LayerTable
    place: tuple[jax.Array, jax.Array, jax.Array]
    layers: LayerArrays
    parameters: jax.Array

    def run(self, operand: jax.Array, made: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The operation's output, and `made` with what its layers have made."""

        def layer(number: jax.Array, so_far: tuple) -> tuple[jax.Array, jax.Array]:
            x, made = so_far
            this = _layer(self, number)
            total = self.table.before_norm(this.kind, x, this.rows)
            x = self.table.normalize(this.norm, total, this.norm_rows)
            return x, put(made, total, *self.place, number)

        return lax.fori_loop(self.layers.halving, self.layers.number, layer, (operand, made))

    def output(self, operand: Callable[[], jax.Array], made: jax.Array) -> jax.Array:
        """The operation's output, from what its layers have made."""
        return self._output_of(self.layers.number, operand, made)

    def gradient(
        self, operand: Callable[[], jax.Array], made: jax.Array, g: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The cotangents of the operand and of the parameters, from that of the output."""

        def layer(count: jax.Array, so_far: tuple) -> tuple[jax.Array, jax.Array]:
            g, g_parameters = so_far
            number = self.layers.number - 1 - count
            this = _layer(self, number)
            total = take(made, *self.place, number)
            g_total, g_norm = self.table.normalize_gradient(this.norm, total, this.norm_rows, g)
            x = self._output_of(number, operand, made)
            g_x, g_rows = self.table.before_norm_gradient(this.kind, x, this.rows, g_total)
            g_parameters = add_rows(g_parameters, g_rows, this.start)
            return g_x, add_rows(g_parameters, g_norm, jnp.maximum(this.norm, 0))

        start = (g, jnp.zeros_like(self.parameters))
        return lax.fori_loop(0, self.layers.number - self.layers.halving, layer, start)

    def _output_of(
        self, number: jax.Array, operand: Callable[[], jax.Array], made: jax.Array
    ) -> jax.Array:
        """What so many layers make of the operand."""

        def normalized() -> jax.Array:
            this, total = _layer(self, number - 1), take(made, *self.place, number - 1)
            return self.table.normalize(this.norm, total, this.norm_rows)

        return lax.cond(number > self.layers.halving, normalized, operand)


class _Layer(NamedTuple):
    """One layer of a slot; see `LayerArrays` and `LayerTable`."""

    kind: jax.Array
    start: jax.Array
    norm: jax.Array
    rows: jax.Array
    norm_rows: jax.Array


def _layer(slot: Slot, number: jax.Array) -> _Layer:
    columns = (slot.layers.kind, slot.layers.start, slot.layers.norm)
    kind, start, norm = (take(column, number) for column in columns)
    # Outside of the branches, where the slice would be repeated for every number that it enters.
    rows = take_rows(slot.parameters, start, slot.table.layer_rows)
    norm_rows = take_rows(slot.parameters, jnp.maximum(norm, 0), slot.table.norm_rows)
    return _Layer(kind, start, norm, rows, norm_rows)
