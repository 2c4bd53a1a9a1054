"""One network for every architecture: the architecture is an argument, not a constant.

The skeleton is that of `NASNet` with `Macro(uniform_inputs=True)`. Cells of equal shape, a reduction cell
and the normal cells behind it, are run by one loop (`nasnet_jax.nn.stage`), so that the size of the
program does not grow with N. Behind a stage, a cell's output has a place for every hidden state, and
those that the architecture does not concatenate are zeros, which is the same function.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from nasnet_jax.nn.batch_axis import images, keep
from nasnet_jax.nn.halving import run_halving
from nasnet_jax.nn.heads import Head
from nasnet_jax.nn.initial import draws, started
from nasnet_jax.nn.layers import FactorizedReduction, LayerConfig, ReluConvNorm
from nasnet_jax.nn.stage import StageInputs, StageParameters, run_stage
from nasnet_jax.nn.tape import CellArrays, Tape, cell_arrays
from nasnet_jax.space import Architecture, Macro

Parameters = dict[str, Any]


class ArchitectureArrays(NamedTuple):
    """An architecture as arrays: its normal and its reduction cell."""

    normal: CellArrays
    reduction: CellArrays


def architecture_arrays(architecture: Architecture) -> ArchitectureArrays:
    """The arrays that `Supernet` takes, of NumPy."""
    return ArchitectureArrays(
        cell_arrays(architecture.normal, reduction=False),
        cell_arrays(architecture.reduction, reduction=True),
    )


@dataclasses.dataclass(frozen=True)
class Supernet:
    """Initial parameters and logits of any architecture with `num_blocks` blocks a cell.

    Attributes:
      macro: the skeleton; `uniform_inputs` must hold.
      num_blocks: B.
      config: what all layers have in common; without running statistics.

    Raises:
      ValueError: for a skeleton that the search does not know.
    """

    macro: Macro
    num_blocks: int
    config: LayerConfig

    def __post_init__(self) -> None:
        if not self.macro.uniform_inputs or self.macro.stem != "cifar":
            raise ValueError("The search uses the 'cifar' stem with uniform_inputs=True.")
        if self.macro.skip_reduction_layer_input or self.macro.num_classes is None:
            raise ValueError("The search needs num_classes and no skip_reduction_layer_input.")
        if self.config.track_statistics:
            raise ValueError("A child keeps no running statistics: set track_statistics=False.")

    def tape(self, stage: int) -> Tape:
        """The kind of a stage's cells."""
        return Tape(self.macro.num_filters * 2**stage, stage > 0, self.config)

    def num_cells(self, stage: int) -> int:
        """The cells of a stage: N normal ones, behind the reduction cell that makes it."""
        return self.macro.num_cells + (stage > 0)

    def cells(self, stage: int, architecture: ArchitectureArrays) -> CellArrays:
        """The architectures of a stage's cells, along a leading axis."""
        normal = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (self.macro.num_cells, *x.shape)), architecture.normal
        )
        if stage == 0:
            return normal
        return jax.tree.map(
            lambda one, others: jnp.concatenate((one[None], others)), architecture.reduction, normal
        )

    def _channels(self, stage: int) -> int:
        return (self.num_blocks + 2) * self.macro.num_filters * 2**stage

    @functools.cached_property
    def shapes(self) -> Parameters:
        """Shapes and types of a child's parameters."""
        macro = self.macro
        wide = [self._channels(stage) for stage in range(macro.num_reductions + 1)]

        def project(stage: int, channels: int) -> nnx.State:
            return nnx.state(nnx.eval_shape(lambda: self._projection(stage, channels)))

        def reduce(stage: int, channels: int) -> nnx.State:
            return nnx.state(nnx.eval_shape(lambda: self._factorized_reduction(stage, channels)))

        parameters: Parameters = {"stem": nnx.state(nnx.eval_shape(lambda: _stem(self)))}
        for stage in range(macro.num_reductions + 1):
            tape, number = self.tape(stage), self.num_cells(stage)
            width = macro.stem_filters if stage == 0 else wide[stage - 1]
            # Two cells back, behind a stage of one cell, is the stem.
            is_stem = stage == 1 and self.num_cells(0) == 1
            earlier = macro.stem_filters if is_stem else width
            part: Parameters = {
                "inputs": [project(stage, width), project(stage, earlier)],
                "blocks": tape.shapes(number, self.num_blocks),
            }
            if stage > 0:
                part["unused"] = _stacked(reduce(stage, tape.features), 2)
            if number > 1:
                # What brings the output in front of the stage to its second cell.
                part["previous"] = (reduce if stage > 0 else project)(stage, width)
                after = nnx.to_pure_dict(project(stage, wide[stage]))
                part["next"] = _stacked(after, number - 1, 2)
            parameters[f"stage_{stage}"] = part
        return parameters | {"head": nnx.state(nnx.eval_shape(lambda: _head(self)))}

    def init(self, key: jax.Array, architecture: ArchitectureArrays) -> Parameters:
        """Initial parameters of a child, the same for the same key and architecture."""
        drawn = draws(key, self.shapes)
        parameters: Parameters = started(drawn)
        for stage in range(self.macro.num_reductions + 1):
            name = f"stage_{stage}"
            blocks = self.tape(stage).init(drawn[name]["blocks"], self.cells(stage, architecture))
            parameters[name]["blocks"] = blocks
        return parameters

    def kernels(self, architecture: ArchitectureArrays) -> Parameters:
        """For every parameter 1 if L2 decays it, that is if it is a kernel in use, else 0."""
        mask = jax.tree_util.tree_map_with_path(
            lambda path, leaf: jnp.full(leaf.shape, float("kernel" in jax.tree_util.keystr(path))),
            self.shapes,
        )
        for stage in range(self.macro.num_reductions + 1):
            cells = self.cells(stage, architecture)
            mask[f"stage_{stage}"]["blocks"] = self.tape(stage).kernels(cells)
        return mask

    def __call__(
        self, parameters: Parameters, architecture: ArchitectureArrays, x: jax.Array
    ) -> jax.Array:
        """Logits `[batch, classes]` of images `x`, `[batch, height, width, channels]`.

        Batch normalization uses the statistics of the batch.
        """
        stem = _module(lambda: _stem(self), parameters["stem"])(x)
        current, previous = stem, stem
        for stage in range(self.macro.num_reductions + 1):
            weights = parameters[f"stage_{stage}"]
            projected = [
                self._project(stage, state, x)
                for state, x in zip(weights["inputs"], (current, previous), strict=True)
            ]
            cells = self.cells(stage, architecture)
            inputs = self._inputs(stage, weights, cells, jnp.stack(projected), current)
            after = StageParameters(weights["blocks"], weights.get("next"))
            last, before = run_stage(self.tape(stage), after, cells, inputs)
            previous = current
            if before is not None:
                previous = _concatenate(images(self.config, before), cells.outputs[-2])
            current = _concatenate(images(self.config, last), cells.outputs[-1])
        pooled = nnx.relu(current).mean((1, 2))
        return _module(lambda: _head(self), parameters["head"])(pooled)

    def _projection(self, stage: int, channels: int) -> nnx.Module:
        features = self.tape(stage).features
        return ReluConvNorm(channels, features, config=self.config, rngs=nnx.Rngs(0))

    def _factorized_reduction(self, stage: int, channels: int) -> nnx.Module:
        features = self.tape(stage).features
        return FactorizedReduction(channels, features, config=self.config, rngs=nnx.Rngs(0))

    def _project(self, stage: int, state: nnx.State, x: jax.Array) -> jax.Array:
        return _module(lambda: self._projection(stage, x.shape[-1]), state)(x)

    def _reduce(self, stage: int, state: nnx.State, x: jax.Array) -> jax.Array:
        return _module(lambda: self._factorized_reduction(stage, x.shape[-1]), state)(x)

    def _inputs(
        self,
        stage: int,
        weights: Parameters,
        cells: CellArrays,
        projected: jax.Array,
        before: jax.Array,
    ) -> StageInputs:
        """What a stage gets from the network in front of it.

        Args:
          stage: from 0.
          weights: of the stage.
          cells: its cells.
          projected: the inputs of its first cell, `[2, batch, height, width, F]`.
          before: the output in front of it, `[batch, height, width, channels]`.
        """
        tape, second = self.tape(stage), None
        if "previous" in weights:
            bring = self._reduce if tape.reduces else self._project
            second = bring(stage, weights["previous"], before)
        if not tape.reduces:
            return StageInputs(self._keep(projected), self._keep(second), None)
        reduction = jax.tree.map(lambda x: x[0], cells)
        slots = weights["blocks"].slots[0]
        halved = run_halving(tape.table, slots, reduction, self._keep(projected))
        size = images(self.config, halved).shape[2:]

        def unused(_: None, of_input: tuple) -> tuple[None, jax.Array]:
            is_output, state, x = of_input
            return None, lax.cond(
                is_output > 0,
                lambda: self._reduce(stage, state, x),
                lambda: jnp.zeros(size, x.dtype),
            )

        both = (reduction.outputs[:2], weights["unused"], projected)
        first = lax.scan(unused, None, both)[1]
        return StageInputs(self._keep(first), self._keep(second), halved)

    def _keep(self, x: jax.Array | None) -> jax.Array | None:
        return None if x is None else keep(self.config, x)


def _concatenate(states: jax.Array, outputs: jax.Array) -> jax.Array:
    """`[B + 2, batch, height, width, F]` to `[batch, height, width, (B + 2) * F]`, zeros for others."""
    kept = states * outputs[:, None, None, None, None].astype(states.dtype)
    return jnp.moveaxis(kept, 0, 3).reshape(*states.shape[1:4], -1)


def _module(make: Callable[[], nnx.Module], state: nnx.State) -> nnx.Module:
    """The module that `make` would make, with these parameters."""
    return nnx.merge(nnx.graphdef(nnx.eval_shape(make)), state)


def _stem(supernet: Supernet) -> nnx.Module:
    macro = supernet.macro
    return ReluConvNorm(
        macro.image_channels,
        macro.stem_filters,
        (3, 3),
        relu=False,
        config=supernet.config,
        rngs=nnx.Rngs(0),
    )


def _head(supernet: Supernet) -> nnx.Module:
    macro = supernet.macro
    channels = (supernet.num_blocks + 2) * macro.num_filters * 2**macro.num_reductions
    return Head(channels, macro.num_classes or 0, rngs=nnx.Rngs(0))


def _stacked(shapes: Any, *numbers: int) -> Any:
    """The shapes of several of the same, along leading axes."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*numbers, *x.shape), x.dtype), shapes)
