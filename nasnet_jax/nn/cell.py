"""A cell with a fixed architecture, as transfer training and inference use it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from nasnet_jax.nn.borders import cell_borders
from nasnet_jax.nn.drop_path import NEVER_DROPPED, DropPath
from nasnet_jax.nn.layers import FactorizedReduction, LayerConfig, Projection, ReluConvNorm
from nasnet_jax.nn.operations import Operation, operation
from nasnet_jax.space import Block, Cell, CellWidths, MacroCell


class BlockModule(nnx.Module):
    """Two operations on two hidden states, combined into a new one."""

    def __init__(
        self,
        block: Block,
        place: MacroCell,
        widths: CellWidths,
        *,
        config: LayerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        def half(state: int, name: str) -> Operation:
            in_features = widths.state_1 if state == 1 else place.filters
            stride = place.stride if state < 2 else 1
            return operation(
                name,
                in_features,
                place.filters,
                stride,
                borders=cell_borders(config.edges, place.name),
                config=config,
                rngs=rngs,
            )

        self.left = half(block.left_input, block.left_op)
        self.right = half(block.right_input, block.right_op)
        self.projection = (
            Projection(place.filters, config=config, rngs=rngs)
            if block.combine == "concat"
            else None
        )
        self.inputs = (block.left_input, block.right_input)
        self.can_drop = (block.left_op != NEVER_DROPPED, block.right_op != NEVER_DROPPED)

    def __call__(self, states: list[jax.Array], drop: DropPath | None = None) -> jax.Array:
        """The new hidden state, of the ones before it; `drop` leaves operations out in training."""
        left, right = self.left(states[self.inputs[0]]), self.right(states[self.inputs[1]])
        if drop is not None:
            left = drop.part(0)(left) if self.can_drop[0] else left
            right = drop.part(1)(right) if self.can_drop[1] else right
        return left + right if self.projection is None else self.projection(left, right)


class CellModule(nnx.Module):
    """One cell of a network.

    Attributes:
        input_0: ReLU, 1x1 convolution and normalization of the current input.
        input_1: The same for the previous input, or its factorized reduction, or None to keep it.
        blocks: In order; block k makes hidden state k + 2.
        output_0, output_1: What brings an input that is itself an output to the size and width of the
            other outputs, or None.
    """

    def __init__(
        self,
        cell: Cell,
        place: MacroCell,
        widths: CellWidths,
        *,
        config: LayerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        features = place.filters
        self.input_0 = ReluConvNorm(widths.current, features, config=config, rngs=rngs)
        self.input_1 = _input_1(widths, features, config=config, rngs=rngs)
        self.blocks = nnx.List(
            BlockModule(block, place, widths, config=config, rngs=rngs) for block in cell.blocks
        )

        def adapter(state: int, in_features: int) -> nnx.Module | None:
            if state not in cell.outputs:
                return None
            if place.stride == 2:
                return FactorizedReduction(in_features, features, config=config, rngs=rngs)
            if in_features != features:
                return ReluConvNorm(in_features, features, relu=False, config=config, rngs=rngs)
            return None

        self.output_0 = adapter(0, features)
        self.output_1 = adapter(1, widths.state_1)
        self.outputs = cell.outputs

    def __call__(
        self, current: jax.Array, previous: jax.Array, drop: DropPath | None = None
    ) -> jax.Array:
        """The cell's output.

        Args:
            current: The current input, `[batch, height, width, channels]`.
            previous: The previous input, of the same size or of twice as much.
            drop: What drops the paths of this cell while training.

        Returns:
            `[batch, height / stride, width / stride, channels]`.
        """
        state_1 = previous if self.input_1 is None else self.input_1(previous)
        states = [self.input_0(current), state_1]
        for number, block in enumerate(self.blocks):
            states.append(block(states, None if drop is None else drop.part(number)))
        for index, adapter in enumerate((self.output_0, self.output_1)):
            if adapter is not None:
                states[index] = adapter(states[index])
        return jnp.concatenate([states[index] for index in self.outputs], -1)


def _input_1(
    widths: CellWidths, features: int, *, config: LayerConfig, rngs: nnx.Rngs
) -> nnx.Module | None:
    """What makes state 1 of the previous input."""
    if widths.transform == "reduce":
        return FactorizedReduction(widths.previous, features, config=config, rngs=rngs)
    if widths.transform == "project":
        return ReluConvNorm(widths.previous, features, config=config, rngs=rngs)
    return None
