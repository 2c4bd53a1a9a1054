"""One network for every architecture: the architecture is an argument, not a constant.

The skeleton is that of `NASNet` with `Macro(uniform_inputs=True)`. Cells of equal shape are run by one
`scan`, so that the size of the program does not grow with N. A cell's output has a place for every
hidden state, and those that the architecture does not concatenate are zeros, which is the same
function as the narrower concatenation.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from nasnet_jax.nn.heads import Head
from nasnet_jax.nn.layers import FactorizedReduction, LayerConfig, ReluConvNorm
from nasnet_jax.nn.packing import initial_value
from nasnet_jax.nn.tape import (
    CellArrays,
    CellParameters,
    Tape,
    cell_arrays,
    init_cell,
    kernel_mask,
    run_tape,
)
from nasnet_jax.space import Architecture, Macro

Parameters = dict[str, Any]


class ArchitectureArrays(NamedTuple):
    """An architecture as arrays: its normal and its reduction cell."""

    normal: CellArrays
    reduction: CellArrays


def architecture_arrays(architecture: Architecture) -> ArchitectureArrays:
    """The arrays that `Supernet` takes, of NumPy."""
    return ArchitectureArrays(cell_arrays(architecture.normal), cell_arrays(architecture.reduction))


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
        if self.macro.stem_filters > (self.num_blocks + 2) * self.macro.num_filters:
            raise ValueError(
                f"The stem has {self.macro.stem_filters} channels, more than the "
                f"{self.num_blocks + 2} states of {self.macro.num_filters} filters; "
                "use a smaller stem_multiplier."
            )

    def tape(self, stage: int, *, reduction: bool = False) -> Tape:
        """The kind of a stage's normal cells, or of the reduction cell in front of it."""
        return Tape(self.macro.num_filters * 2**stage, reduction, self.config)

    def _channels(self, stage: int) -> int:
        return (self.num_blocks + 2) * self.macro.num_filters * 2**stage

    @functools.cached_property
    def shapes(self) -> Parameters:
        """Shapes and types of a child's parameters."""
        macro, steps = self.macro, self.macro.num_cells
        wide = [self._channels(stage) for stage in range(macro.num_reductions + 1)]

        def project(stage: int, channels: int) -> nnx.State:
            return nnx.state(nnx.eval_shape(lambda: self._projection(stage, channels)))

        def reduce(stage: int, channels: int) -> nnx.State:
            return nnx.state(nnx.eval_shape(lambda: self._factorized_reduction(stage, channels)))

        parameters: Parameters = {"stem": nnx.state(nnx.eval_shape(lambda: _stem(self)))}
        for stage in range(macro.num_reductions + 1):
            tape = self.tape(stage)
            if stage == 0:
                first = [project(stage, macro.stem_filters) for _ in range(2)]
            else:
                half = self.tape(stage, reduction=True)
                parameters[f"reduction_{stage}"] = {
                    "inputs": [project(stage, wide[stage - 1]) for _ in range(2)],
                    "blocks": half.shapes(self.num_blocks),
                    "unused": _stacked(reduce(stage, tape.features), 2),
                }
                first = [project(stage, wide[stage]), reduce(stage, wide[stage - 1])]
            parameters[f"stage_{stage}"] = {
                "first": first,
                "blocks": _stacked(tape.shapes(self.num_blocks), steps),
            }
            if steps > 1:
                # What brings a cell's output, and its current input, to the next cell. The last of
                # the N has no next cell in the stage: its own are not used.
                parameters[f"stage_{stage}"]["next"] = [
                    _stacked(project(stage, wide[stage]), steps) for _ in range(2)
                ]
        return parameters | {"head": nnx.state(nnx.eval_shape(lambda: _head(self)))}

    def init(self, key: jax.Array, architecture: ArchitectureArrays) -> Parameters:
        """Initial parameters of a child, the same for the same key and architecture."""
        # All from one draw, since a generator of random numbers takes a second to compile.
        leaves, tree = jax.tree.flatten(self.shapes)
        ends = list(itertools.accumulate(leaf.size for leaf in leaves))
        draw = jax.random.truncated_normal(key, -2.0, 2.0, (ends[-1],))
        parts = jnp.split(draw, ends[:-1])
        draws = jax.tree.unflatten(
            tree, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        )
        parameters = jax.tree_util.tree_map_with_path(
            lambda path, draw: initial_value(jax.tree_util.keystr(path), draw), draws
        )
        for stage in range(self.macro.num_reductions + 1):
            name = f"stage_{stage}"
            tape = self.tape(stage)
            parameters[name]["blocks"] = lax.map(
                lambda draws, t=tape: init_cell(t, draws, architecture.normal),
                draws[name]["blocks"],
            )
            if stage > 0:
                name = f"reduction_{stage}"
                tape = self.tape(stage, reduction=True)
                parameters[name]["blocks"] = init_cell(
                    tape, draws[name]["blocks"], architecture.reduction
                )
        return parameters

    def kernels(self, architecture: ArchitectureArrays) -> Parameters:
        """For every parameter 1 if L2 decays it, that is if it is a kernel in use, else 0."""
        mask = jax.tree_util.tree_map_with_path(
            lambda path, leaf: jnp.full(leaf.shape, float("kernel" in jax.tree_util.keystr(path))),
            self.shapes,
        )
        for stage in range(self.macro.num_reductions + 1):
            normal = kernel_mask(self.tape(stage), architecture.normal)
            mask[f"stage_{stage}"]["blocks"] = jax.tree.map(
                lambda x: jnp.broadcast_to(x, (self.macro.num_cells, *x.shape)), normal
            )
            if stage > 0:
                mask[f"reduction_{stage}"]["blocks"] = kernel_mask(
                    self.tape(stage, reduction=True), architecture.reduction
                )
        return mask

    def __call__(
        self, parameters: Parameters, architecture: ArchitectureArrays, images: jax.Array
    ) -> jax.Array:
        """Logits `[batch, classes]` of `[batch, height, width, channels]` images.

        Batch normalization uses the statistics of the batch.
        """
        macro = self.macro
        stem = _module(lambda: _stem(self), parameters["stem"])(images)
        first = parameters["stage_0"]["first"]
        inputs = self._project(0, first[0], stem), self._project(0, first[1], stem)
        # As wide as a cell's output, so that the stem can stand where a previous output stands.
        unused = self._channels(0) - stem.shape[-1]
        previous = current = jnp.pad(stem, ((0, 0), (0, 0), (0, 0), (0, unused)))
        for stage in range(macro.num_reductions + 1):
            weights = parameters[f"stage_{stage}"]
            if stage > 0:
                reduced = self._reduction(
                    stage,
                    parameters[f"reduction_{stage}"],
                    architecture.reduction,
                    current,
                    previous,
                )
                first = weights["first"]
                inputs = (
                    self._project(stage, first[0], reduced),
                    self._reduce(stage, first[1], current),
                )
                current = reduced
            current, previous = self._stage(stage, weights, architecture.normal, inputs, current)
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

    def _stage(
        self,
        stage: int,
        weights: Parameters,
        cell: CellArrays,
        inputs: tuple[jax.Array, jax.Array],
        before: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """Runs the N normal cells of a stage.

        Args:
          stage: from 0.
          weights: of the stage.
          cell: the normal cell.
          inputs: the projected inputs of the first cell, `[batch, height, width, F]` each.
          before: the output in front of the stage, `[batch, height, width, (B + 2) * F]`.

        Returns:
          The outputs of the last cell and of the one before it (or `before`).
        """
        tape, last = self.tape(stage), self.macro.num_cells - 1

        def run(blocks: CellParameters, inputs: tuple[jax.Array, jax.Array]) -> jax.Array:
            states = jnp.zeros((self.num_blocks + 2, *inputs[0].shape), inputs[0].dtype)
            states = states.at[0].set(inputs[0]).at[1].set(inputs[1])
            return _concatenate(run_tape(tape, blocks, cell, None, states), cell.outputs)

        if last == 0:
            return run(jax.tree.map(lambda x: x[0], weights["blocks"]), inputs), before

        def step(carry: tuple, weights: tuple) -> tuple[tuple, None]:
            inputs, previous, _ = carry
            number, blocks, after_output, after_input = weights
            output = run(blocks, inputs)
            inputs = lax.cond(
                number < last,
                lambda: (
                    self._project(stage, after_output, output),
                    self._project(stage, after_input, previous),
                ),
                lambda: inputs,
            )
            return (inputs, output, previous), None

        steps = (jnp.arange(last + 1), weights["blocks"], *weights["next"])
        (_, output, previous), _ = lax.scan(step, (inputs, before, before), steps)
        return output, previous

    def _reduction(
        self,
        stage: int,
        weights: Parameters,
        cell: CellArrays,
        current: jax.Array,
        previous: jax.Array,
    ) -> jax.Array:
        """Runs the reduction cell in front of a stage on the last two outputs of the one before."""
        full = jnp.stack(
            [
                self._project(stage, state, x)
                for state, x in zip(weights["inputs"], (current, previous), strict=True)
            ]
        )
        _, batch, height, width, features = full.shape
        half = (batch, -(-height // 2), -(-width // 2), features)

        def unused(_: None, slot: tuple) -> tuple[None, jax.Array]:
            is_output, state, x = slot
            return None, lax.cond(
                is_output > 0,
                lambda: self._reduce(stage, state, x),
                lambda: jnp.zeros(half, x.dtype),
            )

        _, inputs = lax.scan(unused, None, (cell.outputs[:2], weights["unused"], full))
        states = jnp.concatenate((inputs, jnp.zeros((self.num_blocks, *half), full.dtype)))
        tape = self.tape(stage, reduction=True)
        states = run_tape(tape, weights["blocks"], cell, full, states)
        return _concatenate(states, cell.outputs)


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


def _stacked(shapes: Any, number: int) -> Any:
    """The shapes of several of the same, along a leading axis."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((number, *x.shape), x.dtype), shapes)
