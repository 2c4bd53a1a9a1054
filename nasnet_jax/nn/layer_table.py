"""The operations as rows of layers, so that a program holds each layer once.

An operation is a row of up to two layers, and many of them are of a kind: both of a separable
convolution, or the second one of a separable convolution that halves the size. The loops of a stage
run layers, chosen by kind with `lax.switch`; the normalization that ends most of them is one for all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from nasnet_jax.nn.batch_axis import on_kept
from nasnet_jax.nn.layers import BatchNorm, Layer, LayerConfig
from nasnet_jax.nn.operations import Operation, operation
from nasnet_jax.nn.packing import Packing, rows_of_each
from nasnet_jax.space import OPERATIONS

NO_NORM = -1


class LayerArrays(NamedTuple):
    """The layers in slots, as arrays with the slots' leading axes.

    Attributes:
      kind: int32 `[..., layers]`, which of a table's kinds a layer is; 0 where there is none.
      start: int32 `[..., layers]`, the row of the slot at which its parameters start.
      norm: int32 `[..., layers]`, the row at which those of its normalization do, or `NO_NORM`.
      halving: int32 `[...]`, the number of layers at the beginning that bring the input to half the
        size; 0 for an operation that keeps it.
      number: int32 `[...]`, the number of all layers.
    """

    kind: Any
    start: Any
    norm: Any
    halving: Any
    number: Any


class LayerTable(NamedTuple):
    """The layers of all 13 operations, which keep the size, and of the 13 that halve it.

    Static and hashable, so that equal ones share what is made of them.

    Attributes:
      features: F of the cell.
      config: what all layers have in common.
    """

    features: int
    config: LayerConfig

    @property
    def packings(self) -> Sequence[Sequence[Packing]]:
        """For each of the 26 how its layers lie in a slot, one after the other."""
        return [[packing for packing, _ in row] for row in _rows(self)]

    @property
    def rows(self) -> int:
        """Of a slot: from the start of each of its layers there is room for one of any kind."""
        return int(_columns(self).start.max()) + self.layer_rows

    @property
    def layer_rows(self) -> int:
        """Of a layer: those of the largest kind."""
        return max(packing.rows for packing in _kinds(self).values())

    @property
    def norm(self) -> Packing:
        """The normalization."""
        return _norm(self)

    @property
    def norm_rows(self) -> int:
        """Of a normalization."""
        return self.norm.rows

    def layers(self, chosen: jax.Array) -> LayerArrays:
        """The layers in slots that hold these of the 26."""
        return jax.tree.map(lambda column: jnp.asarray(column)[chosen], _columns(self))

    def before_norm(self, kind: jax.Array, x: jax.Array, rows: jax.Array) -> jax.Array:
        """What a layer makes before its normalization.

        Args:
          kind: of the layer.
          x: `[batch, height, width, F]`, as all images here in the order of `batch_axis`.
          rows: `[layer_rows, F]`, with its parameters in front.
        """
        return lax.switch(kind, self._branches, x, rows)

    def before_norm_gradient(
        self, kind: jax.Array, x: jax.Array, rows: jax.Array, g: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The cotangents of the layer's input and rows."""
        return lax.switch(kind, [_gradient(branch) for branch in self._branches], x, rows, g)

    @property
    def _branches(self) -> list[Callable[[jax.Array, jax.Array], jax.Array]]:
        return [
            on_kept(self.config, functools.partial(_before_norm, packing))
            for packing in _kinds(self).values()
        ]

    def halve(self, operation: jax.Array, x: jax.Array, slot: jax.Array) -> jax.Array:
        """What the layers that halve the size make, up to the normalization of the last of them."""
        return lax.switch(operation, self._halving, x, slot)

    def halve_gradient(
        self, operation: jax.Array, x: jax.Array, slot: jax.Array, g: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The cotangents of the input and of the slot."""
        return lax.switch(operation, [_gradient(f) for f in self._halving], x, slot, g)

    @property
    def _halving(self) -> list[Callable[[jax.Array, jax.Array], jax.Array]]:
        halving = _columns(self).halving
        return [
            on_kept(
                self.config,
                functools.partial(_halve, [packing for packing, _ in row[: halving[held]]]),
            )
            for held, row in enumerate(_rows(self))
            if halving[held]
        ]

    def normalize(self, norm: jax.Array, x: jax.Array, rows: jax.Array) -> jax.Array:
        """What ends a layer, if `norm` says that it has a normalization; `rows` are `[2, F]`."""
        function = on_kept(self.config, functools.partial(_call, self.norm))
        return lax.cond(norm == NO_NORM, lambda x, rows: x, function, x, rows)

    def normalize_gradient(
        self, norm: jax.Array, x: jax.Array, rows: jax.Array, g: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The cotangents of what the normalization reads and of its rows."""
        function = _gradient(on_kept(self.config, functools.partial(_call, self.norm)))
        return lax.cond(
            norm == NO_NORM, lambda x, rows, g: (g, jnp.zeros_like(rows)), function, x, rows, g
        )


# --- what branches do, with the rows that they get


def _before_norm(packing: Packing, x: jax.Array, rows: jax.Array) -> jax.Array:
    return _layer(packing, rows).before_norm(x)


def _layer(packing: Packing, rows: jax.Array) -> Layer:
    return cast(Layer, packing.module(rows))


def _call(packing: Packing, x: jax.Array, rows: jax.Array) -> jax.Array:
    return packing.module(rows)(x)


def _halve(packings: Sequence[Packing], x: jax.Array, slot: jax.Array) -> jax.Array:
    *before, last = map(_layer, packings, rows_of_each(packings, slot))
    for layer in before:
        x = layer(x)
    return last.before_norm(x)


def _gradient(function: Callable) -> Callable:
    """Of a function of an input and rows: the cotangents of both."""

    def gradient(x: jax.Array, rows: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
        _, vjp = jax.vjp(function, x, rows)
        return vjp(g)

    return gradient


# --- what is known before anything is traced


@functools.cache
def _rows(table: LayerTable) -> list[list[tuple[Packing, Layer]]]:
    """The layers of each of the 26, with abstract parameters."""
    return [_layers(table, name, stride) for stride in (1, 2) for name in OPERATIONS]


def _layers(table: LayerTable, name: str, stride: int) -> list[tuple[Packing, Layer]]:
    features, config = table

    def make() -> Operation:
        return operation(name, features, features, stride, config=config, rngs=nnx.Rngs(0))

    layers = nnx.eval_shape(make).layers
    return [(Packing(cast(nnx.Module, layer)), layer) for layer in layers]


@functools.cache
def _kinds(table: LayerTable) -> dict[Hashable, Packing]:
    """One of each kind of layer behind what halves the size, in the order of the kinds' numbers."""
    kinds: dict[Hashable, Packing] = {}
    for row in _rows(table):
        for packing, layer in row[_halving(row) :]:
            kinds.setdefault(layer.kind, packing)
    return kinds


def _halving(row: list[tuple[Packing, Layer]]) -> int:
    """How many layers there are up to the one that halves the size; 0 if none does."""
    strided = [number for number, (_, layer) in enumerate(row) if layer.stride > 1]
    return strided[0] + 1 if strided else 0


@functools.cache
def _columns(table: LayerTable) -> LayerArrays:
    """Of NumPy, for each of the 26."""
    rows = _rows(table)
    shape = (len(rows), max(len(row) for row in rows))
    kind, start = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    norm = np.full(shape, NO_NORM, np.int32)
    halving = np.array([_halving(row) for row in rows], np.int32)
    kinds = list(_kinds(table))
    for held, row in enumerate(rows):
        first = 0
        for number, (packing, layer) in enumerate(row):
            if number >= halving[held]:
                kind[held, number] = kinds.index(layer.kind)
            start[held, number] = first
            if layer.norm is not None:
                norm[held, number] = first + packing.kernel_rows
            first += packing.rows
    return LayerArrays(kind, start, norm, halving, np.array([len(row) for row in rows], np.int32))


@functools.cache
def _norm(table: LayerTable) -> Packing:
    return Packing(nnx.eval_shape(lambda: BatchNorm(table.features, config=table.config)))
