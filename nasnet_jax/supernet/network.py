"""One network for every architecture: the architectures are an argument, not a constant.

The skeleton is that of `nasnet_jax.nn.nasnet.NASNet` with `Macro(uniform_inputs=True)`. What is the same
for all architectures, the stem, what brings the output of a stage to the next one, and the head, are
modules, one for each child; the cells are on tapes (`nasnet_jax.supernet.stage`). Behind a stage, a
cell's output has a place for every hidden state, and those that the architecture does not concatenate
are zeros, which is the same function.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.flatten_util import ravel_pytree

from nasnet_jax.nn.batch_axis import images, keep, spatial_axes
from nasnet_jax.nn.heads import Head
from nasnet_jax.nn.initial import cut, draws, started
from nasnet_jax.nn.layers import FactorizedReduction, LayerConfig, ReluConvNorm
from nasnet_jax.space import Architecture, Macro
from nasnet_jax.supernet.calls import Stage, places
from nasnet_jax.supernet.kinds import Kinds
from nasnet_jax.supernet.launch import (
    Launch,
    Room,
    capacity,
    given_states,
    make_launch,
    num_rows,
)
from nasnet_jax.supernet.rows import Rows, each
from nasnet_jax.supernet.stage import StageInputs, StageTape, run_stage
from nasnet_jax.supernet.tape import Weights
from nasnet_jax.supernet.weights import children, initial_weights

Tapes = tuple[StageTape, ...]


class Params(NamedTuple):
    """The parameters of a device's children.

    Attributes:
        fixed: float32 `[children, number]`, those of the modules, a row for each child.
        stages: Those of the stages' calls.
    """

    fixed: Any
    stages: tuple[Weights, ...]


@dataclasses.dataclass(frozen=True)
class Supernet:
    """Initial parameters and logits of any architectures with `num_blocks` blocks a cell.

    Attributes:
        macro: The skeleton; `uniform_inputs` must hold.
        num_blocks: B.
        config: What all layers have in common; without running statistics.
        room: How many children there are at the same time, and how many of their calls in a chunk.

    Raises:
        ValueError: For a skeleton that the search does not know.
    """

    macro: Macro
    num_blocks: int
    config: LayerConfig
    room: Room = Room()

    def __post_init__(self) -> None:
        if not self.macro.uniform_inputs or self.macro.stem != "cifar":
            raise ValueError("The search uses the 'cifar' stem with uniform_inputs=True.")
        if self.macro.skip_reduction_layer_input or self.macro.num_classes is None:
            raise ValueError("The search needs num_classes and no skip_reduction_layer_input.")
        if self.config.track_statistics:
            raise ValueError("A child keeps no running statistics: set track_statistics=False.")

    @functools.cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The stages."""
        return tuple(self._stage(number) for number in range(self.macro.num_reductions + 1))

    def _stage(self, number: int) -> Stage:
        features, reduces = self.macro.num_filters * 2**number, number > 0
        return Stage(
            num_cells=self.macro.num_cells + reduces,
            num_blocks=self.num_blocks,
            kinds=Kinds(features, self.config, reduces),
        )

    def launch(self, architectures: Sequence[Architecture]) -> Launch:
        """What `__call__` takes for these children, at most as many as there is room for."""
        return make_launch(self.stages, architectures, self.room)

    # --- parameters

    @functools.cached_property
    def fixed_shapes(self) -> dict[str, Any]:
        """Shapes and types of the modules' parameters of one child."""
        macro = self.macro
        wide = [(self.num_blocks + 2) * stage.kinds.features for stage in self.stages]

        def shapes(make: Callable[[], nnx.Module]) -> nnx.State:
            return nnx.state(nnx.eval_shape(make))

        params: dict[str, Any] = {"stem": shapes(self._stem)}
        for number, stage in enumerate(self.stages):
            width = macro.stem_filters if number == 0 else wide[number - 1]
            # Two cells back, behind a stage of one cell, is the stem.
            is_stem = number == 1 and self.stages[0].num_cells == 1
            earlier = macro.stem_filters if is_stem else width
            part: dict[str, Any] = {
                "inputs": [
                    shapes(functools.partial(self._projection, stage, channels))
                    for channels in (width, earlier)
                ]
            }
            if stage.num_cells > 1:
                # What brings the output in front of the stage to its second cell.
                part["previous"] = shapes(functools.partial(self._bring(stage), stage, width))
            params[f"stage_{number}"] = part
        return params | {"head": shapes(self._head)}

    @functools.cached_property
    def shapes(self) -> Params:
        """Shapes and types of the parameters of a device's children."""
        number = sum(leaf.size for leaf in jax.tree.leaves(self.fixed_shapes))
        fixed = jax.ShapeDtypeStruct((self.room.children, number), jnp.float32)
        return Params(fixed, tuple(map(self._stage_shapes, self.stages)))

    def _stage_shapes(self, stage: Stage) -> Weights:
        kinds, room = stage.kinds, capacity(stage, self.room)
        norms = (room.calls, kinds.inside + 1, 2, kinds.features)
        return Weights(
            jax.ShapeDtypeStruct((room.rows, kinds.features), jnp.float32),
            jax.ShapeDtypeStruct(norms, jnp.float32),
        )

    def init(self, key: jax.Array, tapes: Tapes) -> Params:
        """Initial parameters: a child's depend on the key and its architecture alone."""
        drawn = [
            jax.ShapeDtypeStruct(
                (len(places(stage)), stage.kinds.rows, stage.kinds.features), jnp.float32
            )
            for stage in self.stages
        ]
        fixed, numbers = draws(key, (self.fixed_shapes, drawn))
        vector, _ = ravel_pytree(started(fixed))
        rows = jnp.broadcast_to(vector, (self.room.children, len(vector)))
        stages = [
            initial_weights(stage.kinds, tape.owners, of_stage, capacity(stage, self.room).rows)
            for stage, tape, of_stage in zip(self.stages, tapes, numbers, strict=True)
        ]
        return Params(rows, tuple(stages))

    def kernels(self, params: Params) -> Params:
        """The parameters with zeros in place of all that L2 does not decay, which is all but kernels."""
        mask = jax.tree_util.tree_map_with_path(
            lambda path, leaf: np.full(leaf.shape, "kernel" in jax.tree_util.keystr(path)),
            self.fixed_shapes,
        )
        vector = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(mask)])
        stages = jax.tree.map(
            lambda weights: weights._replace(norms=jnp.zeros_like(weights.norms)),
            params.stages,
            is_leaf=lambda node: isinstance(node, Weights),
        )
        return Params(params.fixed * vector, stages)

    def owners(self, tapes: Tapes) -> Params:
        """Whose the parameters are: int32, the children's numbers along each array's leading axis."""
        stages = [
            children(stage.kinds, tape.owners, capacity(stage, self.room).rows)
            for stage, tape in zip(self.stages, tapes, strict=True)
        ]
        return Params(jnp.arange(self.room.children), tuple(stages))

    # --- the function

    def rows(self, batch: int, dtype: Any = jnp.float32) -> tuple[Rows, ...]:
        """What the stages write into, for so many images of a type; zeros, which nothing reads."""
        height, width = self.macro.image_height_width
        dtype, found = self.config.dtype or dtype, []
        for number, stage in enumerate(self.stages):
            size = (-(-height // 2**number), -(-width // 2**number), stage.kinds.features)
            image = (*size, batch) if self.config.batch_last else (batch, *size)
            count = num_rows(stage, self.room)
            norms = (count, 2, stage.kinds.features)
            found.append(
                Rows(
                    values=jnp.zeros((count, *image), dtype),
                    made=jnp.zeros((count, *image), dtype),
                    statistics=jnp.zeros(norms, jnp.promote_types(dtype, jnp.float32)),
                )
            )
        return tuple(found)

    def __call__(
        self, params: Params, tapes: Tapes, x: jax.Array, rows: tuple[Rows, ...]
    ) -> tuple[jax.Array, tuple[Rows, ...]]:
        """The function of all children.

        Batch normalization uses the statistics of the batch.

        Args:
            params: Of the children.
            tapes: Of their launch.
            x: Images `[batch, height, width, channels]`.
            rows: To write into, from `rows` or the call before.

        Returns:
            Logits `[children, batch, classes]`, and the rows.
        """
        fixed = self._each(lambda vector: cut(vector, self.fixed_shapes))(params.fixed)
        stem = self._each(lambda state: _module(self._stem, state)(x))(fixed["stem"])
        current, previous, written = stem, stem, []
        for number, stage in enumerate(self.stages):
            inputs = self._inputs(stage, fixed[f"stage_{number}"], current, previous)
            # What is compiled tells of it: `nasnet_jax.planning.turns`.
            with jax.named_scope(f"stage_{number}"):
                states, of_stage = run_stage(
                    stage.kinds, params.stages[number], inputs, tapes[number], rows[number]
                )
            written.append(of_stage)
            outputs = [_concatenate(images(self.config, of_cell)) for of_cell in states]
            current, previous = outputs[0], outputs[1] if len(outputs) > 1 else current
        pooled = nnx.relu(current).mean((2, 3))
        logits = self._each(lambda state, x: _module(self._head, state)(x))(fixed["head"], pooled)
        return logits, tuple(written)

    def _inputs(
        self, stage: Stage, fixed: dict[str, Any], current: jax.Array, previous: jax.Array
    ) -> StageInputs:
        """What a stage is given by the network in front of it.

        Args:
            stage: The stage.
            fixed: The modules' parameters, with a leading axis of the children.
            current: The output in front of the stage, `[children, batch, height, width, channels]`.
            previous: The output before that one, of the same size or of twice as much.
        """

        def bring(make: Callable[..., nnx.Module], state: nnx.State, x: jax.Array) -> jax.Array:
            channels = x.shape[-1]
            module = functools.partial(make, stage, channels)
            made = self._each(lambda state, x: _module(module, state)(x))(state, x)
            return keep(self.config, made)

        projected = [
            bring(self._projection, state, x)
            for state, x in zip(fixed["inputs"], (current, previous), strict=True)
        ]
        states = dict(enumerate(projected))
        if "previous" in fixed:
            states[2] = bring(self._bring(stage), fixed["previous"], current)
        given = [states[which] for which in given_states(stage)]
        if not stage.reduces:
            return StageInputs(None, _side_by_side(given))
        halved = _side_by_side(projected)
        if given:
            return StageInputs(halved, _side_by_side(given))
        size = list(halved.shape[1:])
        for axis in spatial_axes(self.config):
            size[axis] = -(-size[axis] // 2)
        return StageInputs(halved, jnp.zeros((0, *size), halved.dtype))

    def fixed(self, params: Params, child: int) -> dict[str, Any]:
        """The parameters of the modules of one child, as `fixed_shapes` says."""
        return cut(np.asarray(params.fixed[child]), self.fixed_shapes)

    def _each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return each(function, self.room.children)

    # --- modules, of whose parameters only the shapes count here

    def _stem(self) -> nnx.Module:
        return ReluConvNorm(
            self.macro.image_channels,
            self.macro.stem_filters,
            (3, 3),
            relu=False,
            config=self.config,
            rngs=nnx.Rngs(0),
        )

    def _head(self) -> nnx.Module:
        channels = (self.num_blocks + 2) * self.stages[-1].kinds.features
        return Head(channels, self.macro.num_classes or 0, rngs=nnx.Rngs(0))

    def _projection(self, stage: Stage, channels: int) -> nnx.Module:
        features = stage.kinds.features
        return ReluConvNorm(channels, features, config=self.config, rngs=nnx.Rngs(0))

    def _reduction(self, stage: Stage, channels: int) -> nnx.Module:
        features = stage.kinds.features
        return FactorizedReduction(channels, features, config=self.config, rngs=nnx.Rngs(0))

    def _bring(self, stage: Stage) -> Callable[[Stage, int], nnx.Module]:
        """What makes state 1 of a stage's second cell of the output in front of the stage."""
        return self._reduction if stage.reduces else self._projection


def _concatenate(states: jax.Array) -> jax.Array:
    """`[children, B + 2, batch, height, width, F]` to `[children, batch, height, width, (B + 2) * F]`."""
    moved = jnp.moveaxis(states, 1, 4)
    return moved.reshape(*moved.shape[:4], -1)


def _side_by_side(states: Sequence[jax.Array]) -> jax.Array:
    """Several states of each child, `[children, ...]` each, as `[children * several, ...]`."""
    stacked = jnp.stack(states, 1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _module(make: Callable[[], nnx.Module], state: nnx.State) -> Any:
    """The module that `make` would make, with these parameters."""
    return nnx.merge(nnx.graphdef(nnx.eval_shape(make)), state)
