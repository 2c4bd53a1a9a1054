"""From a child of the supernet to the static network of its architecture: the same weights."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import nnx

from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import STEM, Architecture, MacroCell
from nasnet_jax.supernet.calls import Place, Stage
from nasnet_jax.supernet.kinds import LayerWeights
from nasnet_jax.supernet.launch import Launch
from nasnet_jax.supernet.network import Params, Supernet
from nasnet_jax.supernet.tape import Location, Locations, Weights


def extract_network(
    supernet: Supernet,
    architecture: Architecture,
    params: Params,
    launch: Launch,
    child: int = 0,
) -> NASNet:
    """The static network that is the same function as a child.

    Args:
        supernet: That the child was trained with.
        architecture: Of the child.
        params: Of the launch's children.
        launch: That the child was part of.
        child: Its number in the launch.

    Returns:
        `NASNet(architecture, supernet.macro)` with the child's parameters, of which each number is
        one.
    """
    network = nnx.eval_shape(
        lambda: NASNet(architecture, supernet.macro, config=supernet.config, rngs=nnx.Rngs(0))
    )
    fixed = supernet.fixed(params, child)
    kept = _Kept(supernet, architecture)
    nnx.update(network.stem, fixed["stem"])
    last = len(supernet.macro.cells) - 1
    nnx.update(network.head, kept.rows(fixed["head"], last))
    cells = list(zip(supernet.macro.cells, network.cells, strict=True))
    for number, stage in enumerate(supernet.stages):
        weights, modules = params.stages[number], fixed[f"stage_{number}"]
        calls = _Calls(stage, weights, launch.locations[number], child)
        for index in range(stage.num_cells):
            place, module = cells.pop(0)
            sources = (place.current, place.previous)
            for which, target in enumerate((module.input_0, module.input_1)):
                if index == 0:
                    nnx.update(target, kept.rows(modules["inputs"][which], sources[which]))
                elif index == 1 and which == 1:
                    nnx.update(target, kept.rows(modules["previous"], sources[which]))
                else:
                    calls.update_input(target, index, which)
            reduces = index == 0 and stage.reduces
            if reduces:
                for which, adapter in enumerate((module.output_0, module.output_1)):
                    if adapter is not None:
                        calls.update([adapter], ("output", which))
            for b, block in enumerate(module.blocks):
                for side, operation in enumerate((block.left, block.right)):
                    layers = list(operation.layers)
                    if reduces and block.inputs[side] < 2:
                        strided = next(i for i, layer in enumerate(layers) if layer.stride > 1)
                        calls.update(layers[: strided + 1], ("operation", b, side))
                        layers = layers[strided + 1 :]
                    for layer, behind in enumerate(layers):
                        calls.update([behind], ("operation", index, b, side, layer))
                if block.projection is not None:
                    calls.update([block.projection.project], ("combine", index, b))
    return network


def places_alone(
    supernet: Supernet, architecture: Architecture, launch: Launch, child: int
) -> tuple[Weights, ...]:
    """Where a child's weights lie in a launch, in the order in which they lie where it is alone.

    Args:
        supernet: Of the child alone: with room for one.
        architecture: Of the child.
        launch: That it was trained in.
        child: Its number there.

    Returns:
        For each stage, as `supernet.shapes` has it, the number of each row of kernels, int32
        `[rows]`, and of each call's norms, int32 `[calls]`, in the launch; -1 for what is nobody's.
    """
    solo, stages = supernet.launch([architecture]), []
    for number, stage in enumerate(supernet.stages):
        kernels, norms = (
            np.full(leaf.shape[0], -1, np.int32) for leaf in supernet.shapes.stages[number]
        )
        for (_, place), (call, row) in solo.locations[number].items():
            there = launch.locations[number][child, place]
            rows = stage.kinds.all[solo.tapes[number].owners.kind[call]].rows
            kernels[row : row + rows] = np.arange(there.kernel, there.kernel + rows)
            norms[call] = there.call
        stages.append(Weights(kernels, norms))
    return tuple(stages)


class _Calls:
    """The weights of a child's calls in one stage."""

    def __init__(self, stage: Stage, weights: Weights, locations: Locations, child: int) -> None:
        self._features = stage.kinds.features
        self._weights, self._locations, self._child = weights, locations, child

    def _at(self, place: Place) -> Location:
        return self._locations[self._child, place]

    def update(self, layers: list[Any], place: Place) -> None:
        """Gives the weights of a call to the layers that it ran."""
        call, row = self._at(place)
        norms = self._weights.norms[call, -len(layers) :]
        for layer, norm in zip(layers, norms, strict=True):
            weights = LayerWeights(layer, self._features)
            kernels = self._weights.kernels[row : row + weights.rows]
            nnx.update(layer, weights.state(kernels, norm))
            row += weights.rows

    def update_input(self, layer: Any, cell: int, which: int) -> None:
        """Puts together the projection of a cell's output from its parts."""
        channels = layer.conv.kernel.shape[2]
        pairs = -(-channels // (2 * self._features))
        rows = [self._at(("input", cell, which, part)).kernel for part in range(pairs)]
        kernels = np.concatenate(
            [self._weights.kernels[row : row + 2 * self._features] for row in rows]
        )[:channels]
        last = ("input", cell, which, 0) if pairs == 1 else ("sum", cell, which, pairs - 1)
        norm = self._weights.norms[self._at(last).call, -1]
        nnx.update(layer, LayerWeights(layer, self._features).state(kernels, norm))


class _Kept:
    """What of a module that reads a whole output belongs to the states that are in it."""

    def __init__(self, supernet: Supernet, architecture: Architecture) -> None:
        self._macro, self._architecture = supernet.macro, architecture

    def rows(self, state: nnx.State, source: int | None) -> nnx.State:
        """The rows of every kernel that read states which the source's output concatenates.

        Args:
            state: Of a layer that reads a cell's output, or the stem's.
            source: The index of that cell, or `STEM`.
        """
        if source is None or source == STEM:
            kept = np.arange(self._macro.stem_filters)
        else:
            kept = self._of_cell(self._macro.cells[source])

        return jax.tree.map(lambda leaf: leaf[..., kept, :] if leaf.ndim > 1 else leaf, state)

    def _of_cell(self, place: MacroCell) -> np.ndarray:
        cells = {"normal": self._architecture.normal, "reduction": self._architecture.reduction}
        outputs = cells[place.kind].outputs
        return np.concatenate([s * place.filters + np.arange(place.filters) for s in outputs])
