"""One network for every architecture: the architecture is an argument, not a constant.

The skeleton is that of `NASNet` with `Macro(uniform_inputs=True)`. Cells of equal shape, a reduction cell
and the normal cells behind it, are run by one `scan`, so that the size of the program does not grow
with N. A cell's output has a place for every hidden state, and those that the architecture does not
concatenate are zeros, which is the same function as the narrower concatenation.
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

from nasnet_jax.nn.halving import run_halving
from nasnet_jax.nn.heads import Head
from nasnet_jax.nn.layers import FactorizedReduction, LayerConfig, ReluConvNorm
from nasnet_jax.nn.packing import initial
from nasnet_jax.nn.tape import CellArrays, CellParameters, Tape, cell_arrays, run_tape
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
        if self.macro.stem_filters > (self.num_blocks + 2) * self.macro.num_filters:
            raise ValueError(
                f"The stem has {self.macro.stem_filters} channels, more than the "
                f"{self.num_blocks + 2} states of {self.macro.num_filters} filters; "
                "use a smaller stem_multiplier."
            )

    def tape(self, stage: int) -> Tape:
        """The kind of a stage's cells."""
        return Tape(self.macro.num_filters * 2**stage, self.config)

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
            part: Parameters = {
                "inputs": [project(stage, width) for _ in range(2)],
                "blocks": tape.shapes(number, self.num_blocks),
            }
            if stage > 0:
                part["unused"] = _stacked(reduce(stage, tape.features), 2)
                part["previous"] = reduce(stage, width)
            if number > 1:
                # What brings a cell's output, and its current input, to the next cell. The last
                # cell has no next one in the stage, and the previous input of the cell behind a
                # reduction cell is `previous`: those here are not used.
                part["next"] = [_stacked(project(stage, wide[stage]), number) for _ in range(2)]
            parameters[f"stage_{stage}"] = part
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

        def start(path: tuple, draw: jax.Array) -> jax.Array:
            deviation, constant = initial(jax.tree_util.keystr(path), draw.shape)
            return deviation * draw + constant

        parameters = jax.tree_util.tree_map_with_path(start, draws)
        for stage in range(self.macro.num_reductions + 1):
            name = f"stage_{stage}"
            blocks = self.tape(stage).init(draws[name]["blocks"], self.cells(stage, architecture))
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
        self, parameters: Parameters, architecture: ArchitectureArrays, images: jax.Array
    ) -> jax.Array:
        """Logits `[batch, classes]` of `[batch, height, width, channels]` images.

        Batch normalization uses the statistics of the batch.
        """
        stem = _module(lambda: _stem(self), parameters["stem"])(images)
        current, previous = stem, stem
        for stage in range(self.macro.num_reductions + 1):
            weights = parameters[f"stage_{stage}"]
            inputs = [
                self._project(stage, state, x)
                for state, x in zip(weights["inputs"], (current, previous), strict=True)
            ]
            cells = self.cells(stage, architecture)
            if stage == 0:
                # As wide as a cell's output, so that the stem can stand where an output stands.
                unused = self._channels(0) - stem.shape[-1]
                before = jnp.pad(stem, ((0, 0), (0, 0), (0, 0), (0, unused)))
                found = self._stage(stage, weights, cells, (inputs[0], inputs[1]), before)
            else:
                found = self._reduced_stage(stage, weights, cells, jnp.stack(inputs), current)
            current, previous = found
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
        cells: CellArrays,
        inputs: tuple[jax.Array, jax.Array],
        before: jax.Array,
        halved: jax.Array | None = None,
        second: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Runs the cells of a stage.

        Args:
          stage: from 0.
          weights: of the stage.
          cells: its cells.
          inputs: states 0 and 1 of the first cell, `[batch, height, width, F]` each.
          before: the output in front of the stage, `[batch, height, width, (B + 2) * F]`.
          halved: of `run_halving`, if the first cell is a reduction cell.
          second: then, state 1 of the second cell, `[batch, height, width, F]`.

        Returns:
          The outputs of the last cell and of the one before it (or `before`).
        """
        tape, last = self.tape(stage), self.num_cells(stage) - 1

        def run(
            blocks: CellParameters, cell: CellArrays, inputs: tuple[jax.Array, jax.Array]
        ) -> jax.Array:
            states = jnp.zeros((self.num_blocks + 2, *inputs[0].shape), inputs[0].dtype)
            states = states.at[0].set(inputs[0]).at[1].set(inputs[1])
            return _concatenate(run_tape(tape, blocks, cell, halved, states), cell.outputs)

        if last == 0:
            blocks, cell = jax.tree.map(lambda x: x[0], (weights["blocks"], cells))
            return run(blocks, cell, inputs), before

        def step(carry: tuple, weights: tuple) -> tuple[tuple, None]:
            inputs, previous, _ = carry
            number, blocks, cell, after_output, after_input = weights
            output = run(blocks, cell, inputs)

            def next_inputs() -> tuple[jax.Array, jax.Array]:
                state_0 = self._project(stage, after_output, output)
                if second is None:
                    return state_0, self._project(stage, after_input, previous)
                state_1 = lax.cond(
                    number == 0,
                    lambda: second,
                    lambda: self._project(stage, after_input, previous),
                )
                return state_0, state_1

            return (lax.cond(number < last, next_inputs, lambda: inputs), output, previous), None

        steps = (jnp.arange(last + 1), weights["blocks"], cells, *weights["next"])
        (_, output, previous), _ = lax.scan(step, (inputs, before, before), steps)
        return output, previous

    def _reduced_stage(
        self,
        stage: int,
        weights: Parameters,
        cells: CellArrays,
        full: jax.Array,
        before: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """Runs a stage that begins with a reduction cell.

        Args:
          stage: from 1.
          weights: of the stage.
          cells: its cells.
          full: states 0 and 1 of the reduction cell, `[2, batch, height, width, F]`.
          before: the output in front of it, `[batch, height, width, channels]`.

        Returns:
          As `_stage`.
        """
        reduction = jax.tree.map(lambda x: x[0], cells)
        slots = weights["blocks"].slots[0]
        halved = run_halving(self.tape(stage).halving, slots, reduction, full)
        size = halved.shape[1:]

        def unused(_: None, slot: tuple) -> tuple[None, jax.Array]:
            is_output, state, x = slot
            return None, lax.cond(
                is_output > 0,
                lambda: self._reduce(stage, state, x),
                lambda: jnp.zeros(size, x.dtype),
            )

        _, inputs = lax.scan(unused, None, (reduction.outputs[:2], weights["unused"], full))
        second = self._reduce(stage, weights["previous"], before)
        # Nothing reads the output in front of the stage: its place is taken before it is read.
        nothing = jnp.zeros((*size[:-1], self._channels(stage)), full.dtype)
        return self._stage(
            stage, weights, cells, (inputs[0], inputs[1]), nothing, halved=halved, second=second
        )


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
