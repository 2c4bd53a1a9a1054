"""The kinds of layer that a chunk can hold, made of the layers of the operations themselves.

An operation is a row of layers, and many layers of different operations are of one kind: both of a
separable convolution, for example. Two more are not of an operation: the sum of two hidden states, and
the projection of two of them back to F channels. Layers that halve the size, with which a reduction
cell's operations on its two inputs begin, are kinds of their own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import nnx

from nasnet_jax.nn.convolution import convolution
from nasnet_jax.nn.initial import initial
from nasnet_jax.nn.layers import (
    FactorizedReduction,
    Layer,
    LayerConfig,
    kernel_std,
)
from nasnet_jax.nn.operations import operation
from nasnet_jax.space import OPERATIONS


class Part(NamedTuple):
    """Some rows of a kind's kernels, whose numbers start with one standard deviation."""

    rows: int
    std: float


class Kind(NamedTuple):
    """What all calls of a chunk do, each with weights of its own.

    Attributes:
        name: For people, and to find it.
        reads: How many states it reads, 1 or 2.
        normalizes: Whether batch normalization ends it.
        parts: Of its kernels, in the order in which they lie in `[rows, F]`.
        before_norm: What it makes up to that normalization, for one call: from its kernels `[rows,
            F]`, the scale and offset of normalizations inside it, `[inside, 2, F]`, and the states.
    """

    name: Hashable
    reads: int
    normalizes: bool
    parts: tuple[Part, ...]
    before_norm: Callable[..., jax.Array]

    @property
    def rows(self) -> int:
        """Of its kernels."""
        return sum(part.rows for part in self.parts)


class LayerWeights:
    """How a layer's kernels lie in rows of F numbers.

    A kernel `[..., F]` is that many rows as it is; kernels that are narrower and have F channels
    together, as those of a factorized reduction, stand side by side.

    Raises:
        ValueError: For parameters that are neither kernels nor of the normalization behind them.
    """

    def __init__(self, layer: Any, features: int) -> None:
        self.graphdef, state = nnx.split(layer)
        leaves, self._tree = jax.tree_util.tree_flatten_with_path(state)
        self._places: list[tuple[slice, slice] | int] = []
        self._shapes = [leaf.shape for _, leaf in leaves]
        parts, row, column = [], 0, 0
        for path, leaf in leaves:
            name = jax.tree_util.keystr(path)
            if len(leaf.shape) <= 1:
                self._places.append(_norm_place(name))
                continue
            rows, width = math.prod(leaf.shape[:-1]), leaf.shape[-1]
            self._places.append((slice(row, row + rows), slice(column, column + width)))
            if column == 0:
                parts.append(Part(rows, initial(name, leaf.shape).std))
            column += width
            if column == features:
                row, column = row + rows, 0
        if column:
            raise ValueError(f"{type(layer).__name__} has kernels that are not {features} wide.")
        self.parts = tuple(parts)
        self.rows = row

    def layer(self, kernels: jax.Array, norm: jax.Array | None = None) -> Layer:
        """The layer with these kernels, `[rows, F]`, and scale and offset, `[2, F]`."""
        return cast(Layer, nnx.merge(self.graphdef, self.state(kernels, norm)))

    def state(self, kernels: Any, norm: Any | None = None) -> nnx.State:
        """The layer's state; what is left out is zeros, for where it is not used."""
        leaves = []
        for place, shape in zip(self._places, self._shapes, strict=True):
            if isinstance(place, int):
                leaves.append(jnp.zeros(shape) if norm is None else norm[place])
            else:
                leaves.append(kernels[place].reshape(shape))
        return jax.tree.unflatten(self._tree, leaves)


def _norm_place(name: str) -> int:
    for place, parameter in enumerate(("['scale']", "['offset']")):
        if name.endswith(f"['norm']{parameter}") or name.endswith(f"['norm']{parameter}.value"):
            return place
    raise ValueError(f"A layer of an operation has kernels and a normalization, not {name}.")


class Kinds(NamedTuple):
    """The kinds of a stage: static and hashable, so that equal ones share what is made of them.

    Attributes:
        features: F of its cells.
        config: What all layers have in common.
        reduces: Whether there are kinds that halve the size.
    """

    features: int
    config: LayerConfig
    reduces: bool

    @property
    def keeping(self) -> tuple[Kind, ...]:
        """Those that keep the size."""
        return _keeping(self)

    @property
    def halving(self) -> tuple[Kind, ...]:
        """Those that halve it."""
        return _halving(self) if self.reduces else ()

    @property
    def all(self) -> tuple[Kind, ...]:
        """The kinds, in the order of their numbers."""
        return self.keeping + self.halving

    def number(self, name: Hashable) -> int:
        """Of the kind with this name."""
        return self.numbers[name]

    @property
    def numbers(self) -> Mapping[Hashable, int]:
        """Of the kinds, by their names."""
        return _numbers(self)

    @property
    def inside(self) -> int:
        """Normalizations inside a kind, at most."""
        return max(map(len, _rows_by_name(self).values())) - 1

    @property
    def rows(self) -> int:
        """Of the kernels of the largest kind."""
        return max(kind.rows for kind in self.all)

    @property
    def most_layers(self) -> int:
        """Layers of an operation, at most."""
        return max(
            len(_row(self.features, self.config, name, stride))
            for name in OPERATIONS
            for stride in (1, 2)
        )


# --- operations as rows of layers


@functools.cache
def calls_of(kinds: Kinds, name: str, *, halves: bool) -> tuple[int, ...]:
    """The numbers of the kinds that an operation calls, one after the other.

    Args:
        kinds: Of the stage.
        name: Of the operation.
        halves: Whether the operation halves the size, with its first call.
    """
    row = _row(kinds.features, kinds.config, name, 2 if halves else 1)
    first, behind = row[: _up_to_halving(row)], row[_up_to_halving(row) :]
    halving = [kinds.number(_name(first))] if first else []
    return (*halving, *(kinds.number(layer.kind) for layer in behind))


@functools.cache
def _row(features: int, config: LayerConfig, name: str, stride: int) -> tuple[Layer, ...]:
    """The layers of an operation, with abstract parameters."""

    def make() -> Any:
        return operation(name, features, features, stride, config=config, rngs=nnx.Rngs(0))

    return tuple(nnx.eval_shape(make).layers)


def _up_to_halving(row: Sequence[Layer]) -> int:
    """How many layers there are up to the one that halves the size; 0 if none does."""
    strided = [number for number, layer in enumerate(row) if layer.stride > 1]
    return strided[0] + 1 if strided else 0


def _name(row: Sequence[Layer]) -> Hashable:
    return tuple(layer.kind for layer in row)


# --- the kinds

FACTORIZED_REDUCTION = "factorized reduction"
SUM = "sum"
"""Of two states: a block that adds, or two parts of a projection."""
NORMALIZED_SUM = "normalized sum"
"""Of the last two parts of a projection of more than two states."""
PROJECTION = "projection"
"""Of one or two states back to F: ReLU, 1x1 convolution, normalization."""
PROJECTION_PART = "part of a projection"
"""The same of two states out of more: the projection of a concatenation is the sum of its parts."""


@functools.cache
def _numbers(kinds: Kinds) -> dict[Hashable, int]:
    return {kind.name: number for number, kind in enumerate(kinds.all)}


@functools.cache
def _keeping_rows(kinds: Kinds) -> dict[Hashable, tuple[Layer, ...]]:
    """By name, the layers that one call runs: one."""
    found: dict[Hashable, tuple[Layer, ...]] = {}
    for stride in (1, 2):
        for name in OPERATIONS:
            row = _row(kinds.features, kinds.config, name, stride)
            for layer in row[_up_to_halving(row) :]:
                found.setdefault(layer.kind, (layer,))
    return found


@functools.cache
def _halving_rows(kinds: Kinds) -> dict[Hashable, tuple[Any, ...]]:
    """By name, the layers that a call which halves the size runs: all up to the one that does."""
    features, config, reduces = kinds
    if not reduces:
        return {}
    rows = [_row(features, config, name, 2) for name in OPERATIONS]
    halving = [row[: _up_to_halving(row)] for row in rows]
    reduction = nnx.eval_shape(
        lambda: FactorizedReduction(features, features, config=config, rngs=nnx.Rngs(0))
    )
    return {_name(row): row for row in halving if row} | {FACTORIZED_REDUCTION: (reduction,)}


def _rows_by_name(kinds: Kinds) -> dict[Hashable, tuple[Any, ...]]:
    return _keeping_rows(kinds) | _halving_rows(kinds)


@functools.cache
def _keeping(kinds: Kinds) -> tuple[Kind, ...]:
    projects = (Part(2 * kinds.features, kernel_std((1, 1, 1, kinds.features))),)
    return (
        *(_layer_kind(name, row, kinds.features) for name, row in _keeping_rows(kinds).items()),
        Kind(SUM, 2, False, (), _add),
        Kind(NORMALIZED_SUM, 2, True, (), _add),
        Kind(PROJECTION, 2, True, projects, _project),
        Kind(PROJECTION_PART, 2, False, projects, _project),
    )


@functools.cache
def _halving(kinds: Kinds) -> tuple[Kind, ...]:
    rows = _halving_rows(kinds)
    return tuple(_layer_kind(name, row, kinds.features) for name, row in rows.items())


def _layer_kind(name: Hashable, row: Sequence[Any], features: int) -> Kind:
    weights = [LayerWeights(layer, features) for layer in row]
    parts = tuple(part for one in weights for part in one.parts)

    def before_norm(kernels: jax.Array, norms: jax.Array, x: jax.Array) -> jax.Array:
        row = 0
        for number, one in enumerate(weights[:-1]):
            x = one.layer(kernels[row : row + one.rows], norms[number])(x)
            row += one.rows
        return weights[-1].layer(kernels[row:]).before_norm(x)

    return Kind(name, 1, row[-1].norm is not None, parts, before_norm)


def _add(kernels: jax.Array, norms: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    return left + right


def _project(kernels: jax.Array, norms: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    features = left.shape[-1]
    parts = kernels[:features], kernels[features:]
    products = [
        convolution(nnx.relu(x), part[None, None].astype(x.dtype), (1, 1), "SAME")
        for x, part in zip((left, right), parts, strict=True)
    ]
    return products[0] + products[1]
