"""From a child of the supernet to the static network of its architecture: the same weights."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import nnx

from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.nn.packing import rows_of_each
from nasnet_jax.nn.supernet import Parameters, Supernet
from nasnet_jax.nn.tape import cell_arrays, chosen
from nasnet_jax.space import STEM, Architecture, MacroCell


def extract_network(
    supernet: Supernet, architecture: Architecture, parameters: Parameters
) -> NASNet:
    """The static network that is the same function as a child.

    Args:
      supernet: that the child was trained with.
      architecture: of the child.
      parameters: of the child.

    Returns:
      `NASNet(architecture, supernet.macro)` with the child's parameters, of which each number is one.
    """
    network = nnx.eval_shape(
        lambda: NASNet(architecture, supernet.macro, config=supernet.config, rngs=nnx.Rngs(0))
    )
    nnx.update(network.stem, parameters["stem"])
    cells = _cells_of(supernet, parameters)
    for place, module, (stage, inputs, blocks) in zip(
        supernet.macro.cells, network.cells, cells, strict=True
    ):
        is_reduction = place.kind == "reduction"
        sources = (place.current, place.previous)
        for target, state, source in zip(
            (module.input_0, module.input_1), inputs, sources, strict=True
        ):
            nnx.update(target, _kept_rows(supernet, architecture, state, source))
        tape = supernet.tape(stage)
        searched = architecture.reduction if is_reduction else architecture.normal
        held = chosen(cell_arrays(searched, reduction=is_reduction))
        for index, target in enumerate(module.blocks):
            for half, operation in enumerate((target.left, target.right)):
                packings = tape.table.packings[held[index, half]]
                parts = rows_of_each(packings, blocks.slots[index, half])
                for layer, packing, rows in zip(operation.layers, packings, parts, strict=True):
                    nnx.update(layer, packing.unpack(rows))
            if target.projection is not None:
                nnx.update(target.projection, tape.projection.unpack(blocks.projections[index]))
        if is_reduction:
            for number, adapter in enumerate((module.output_0, module.output_1)):
                if adapter is not None:
                    unused = parameters[f"stage_{stage}"]["unused"]
                    nnx.update(adapter, _part(unused, number))
    last = len(supernet.macro.cells) - 1
    nnx.update(network.head, _kept_rows(supernet, architecture, parameters["head"], last))
    return network


def _part(stacked: Any, index: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], stacked)


def _cells_of(supernet: Supernet, parameters: Parameters) -> list[tuple[int, Any, Any]]:
    """For every cell, in the macro's order: its stage, its inputs' projections, its blocks."""
    cells = []
    for stage in range(supernet.macro.num_reductions + 1):
        weights = parameters[f"stage_{stage}"]
        for number in range(supernet.num_cells(stage)):
            inputs = weights["inputs"]
            if number > 0:
                inputs = [_part(_part(weights["next"], number - 1), place) for place in range(2)]
            if number == 1:
                inputs[1] = weights["previous"]
            cells.append((stage, inputs, _part(weights["blocks"], number)))
    return cells


def _kept_rows(
    supernet: Supernet, architecture: Architecture, state: nnx.State, source: int | None
) -> nnx.State:
    """The rows of every kernel that read states which the source's output concatenates.

    Args:
      supernet: of which `state` is a part.
      architecture: of the child.
      state: of a layer that reads a cell's output, or the stem's.
      source: the index of that cell, or `STEM`.
    """
    macro = supernet.macro

    def rows(place: MacroCell) -> np.ndarray:
        cell = architecture.normal if place.kind == "normal" else architecture.reduction
        return np.concatenate([s * place.filters + np.arange(place.filters) for s in cell.outputs])

    def keep(leaf: jax.Array) -> jax.Array:
        if leaf.ndim < 2:
            return leaf
        if source is None or source == STEM:
            return leaf[..., : macro.stem_filters, :]
        return leaf[..., rows(macro.cells[source]), :]

    return jax.tree.map(keep, state)
