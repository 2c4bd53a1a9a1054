"""A child of the search in PyTorch, as its users would write it: one module for each architecture.

The graph is that of `nasnet_jax.space.cost` with uniform inputs. Only where an operation strides
does PyTorch's padding put the odd pixel on both sides instead of TensorFlow's one; shapes and
work are the same.
"""

from __future__ import annotations

import re

import torch
from torch import nn
from torch.nn import functional

from nasnet_jax.space import STEM, Architecture, Block, Cell, CellWidths, Macro, MacroCell

EPSILON = 1e-5


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
    relu: bool = True,
) -> nn.Sequential:
    """ReLU, convolution, normalization by the statistics of the batch."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (height - 1) // 2, dilation * (width - 1) // 2)
    layers: list[nn.Module] = [nn.ReLU()] if relu else []
    conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, dilation, bias=False)
    return nn.Sequential(*layers, conv, norm(outputs))


def norm(features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features, eps=EPSILON, track_running_stats=False)


def separable(features: int, kernel: int, stride: int) -> nn.Sequential:
    """ReLU, depthwise, pointwise, normalization; twice, the stride in the first."""
    layers: list[nn.Module] = []
    for step in (stride, 1):
        layers += [
            nn.ReLU(),
            nn.Conv2d(features, features, kernel, step, kernel // 2, groups=features, bias=False),
            nn.Conv2d(features, features, 1, bias=False),
            norm(features),
        ]
    return nn.Sequential(*layers)


def operation(name: str, features: int, stride: int) -> nn.Module:
    """One of the 13 operations."""
    if name == "identity":
        return nn.Identity() if stride == 1 else conv_norm(features, features, stride=stride)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if match := re.fullmatch(r"max_pool_(\d)x\1", name):
        return nn.MaxPool2d(int(match[1]), stride, int(match[1]) // 2)
    if match := re.fullmatch(r"sep_conv_(\d)x\1", name):
        return separable(features, int(match[1]), stride)
    if match := re.fullmatch(r"conv_1x(\d)_\1x1", name):
        kernel = int(match[1])
        row = conv_norm(features, features, (1, kernel))
        return nn.Sequential(row, conv_norm(features, features, (kernel, 1), stride=stride))
    if match := re.fullmatch(r"(dilated_)?conv_(\d)x\2", name):
        dilation = 2 if match[1] else 1
        return conv_norm(features, features, int(match[2]), stride=stride, dilation=dilation)
    raise ValueError(f"There is no operation {name!r}.")


class FactorizedReduction(nn.Module):
    """Halves the size by two subsamplings, one shifted by a pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.path_1 = nn.Conv2d(inputs, -(-outputs // 2), 1, 2, bias=False)
        self.path_2 = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.norm = norm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, channels, height, width]` to half of both sides."""
        x = functional.relu(x)
        odd = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
        shifted = (functional.pad(x, odd) if any(odd) else x)[:, :, 1:, 1:]
        return self.norm(torch.cat((self.path_1(x), self.path_2(shifted)), 1))


class BlockModule(nn.Module):
    """Two operations on two hidden states, combined into a new one."""

    def __init__(self, block: Block, place: MacroCell) -> None:
        super().__init__()

        def half(name: str, state: int) -> nn.Module:
            return operation(name, place.filters, place.stride if state < 2 else 1)

        self.inputs = block.left_input, block.right_input
        self.left = half(block.left_op, block.left_input)
        self.right = half(block.right_op, block.right_input)
        concat = block.combine == "concat"
        self.project = conv_norm(2 * place.filters, place.filters) if concat else None

    def forward(self, states: list[torch.Tensor]) -> torch.Tensor:
        """The new hidden state, of the ones before it."""
        left, right = self.left(states[self.inputs[0]]), self.right(states[self.inputs[1]])
        if self.project is None:
            return left + right
        return self.project(torch.cat((left, right), 1))


class CellModule(nn.Module):
    """A cell."""

    def __init__(self, cell: Cell, place: MacroCell, widths: CellWidths) -> None:
        super().__init__()
        filters = place.filters
        self.input_0 = conv_norm(widths.current, filters)
        reduces = widths.transform == "reduce"
        make = FactorizedReduction if reduces else conv_norm
        self.input_1 = make(widths.previous, filters)
        self.blocks = nn.ModuleList(BlockModule(block, place) for block in cell.blocks)
        self.outputs = cell.outputs
        self.unused = nn.ModuleDict(
            {
                str(state): FactorizedReduction(filters, filters)
                for state in cell.outputs
                if state < 2 and place.stride == 2
            }
        )

    def forward(self, current: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """The cell's output of its two inputs."""
        states = [self.input_0(current), self.input_1(previous)]
        for block in self.blocks:
            states.append(block(states))
        for state, reduction in self.unused.items():
            states[int(state)] = reduction(states[int(state)])
        return torch.cat([states[index] for index in self.outputs], 1)


class Child(nn.Module):
    """The network of an architecture in the search's skeleton."""

    def __init__(self, architecture: Architecture, macro: Macro) -> None:
        super().__init__()
        self.stem = conv_norm(macro.image_channels, macro.stem_filters, 3, relu=False)
        widths = macro.widths(architecture)
        kinds = {"normal": architecture.normal, "reduction": architecture.reduction}
        self.cells = nn.ModuleList(
            CellModule(kinds[place.kind], place, width)
            for place, width in zip(macro.cells, widths, strict=True)
        )
        self.places = [
            (place.current - STEM, (place.previous or 0) - STEM) for place in macro.cells
        ]
        self.head = nn.Linear(widths[-1].output, macro.num_classes or 0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes]` of `[batch, channels, height, width]`."""
        maps = [self.stem(images)]
        for cell, (current, previous) in zip(self.cells, self.places, strict=True):
            maps.append(cell(maps[current], maps[previous]))
        return self.head(functional.relu(maps[-1]).mean((2, 3)))
