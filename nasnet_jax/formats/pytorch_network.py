"""NASNet in PyTorch: any architecture of its space, from JSON. Needs torch and safetensors alone.

    import nasnet
    model = nasnet.load("FOLDER")  # With config.json and model.safetensors; in evaluation mode.
    logits = model(images)         # [batch, channels, height, width], pixels from 0 to 255.

Pixels are scaled inside; images of any size that the reduction cells can halve are taken. To train
further, call `model.train()`; `nasnet.NASNet(config)` is the same network before training.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections import OrderedDict
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

SYMMETRIC = {
    "cadene_mobile": ("cell_stem_0",),
    "cadene_large": ("cell_stem_0", "cell_stem_1", "reduction_cell_1"),
}
"""Cells whose windows reach equally far over both borders, by the code that weights come from."""


def borders_of(edges: str, cell: str) -> str:
    """How strided windows reach over borders; `timm` counts zeros in means, `keras` in maxima too."""
    if edges in SYMMETRIC:
        return "symmetric" if cell in SYMMETRIC[edges] else "same"
    return edges


def pads(x: Tensor, size: Any, stride: int, dilation: int, symmetric: bool) -> list[int]:
    """Zeros left, right, above and below, with which ceil(side / stride) windows fit."""
    result = []
    for side, window in ((x.shape[3], size[1]), (x.shape[2], size[0])):
        reach = (window - 1) * dilation
        total = reach if symmetric else max(0, (side - 1) // stride * stride + reach + 1 - side)
        result += [total // 2, total - total // 2]
    return result


class Conv(nn.Conv2d):
    """A convolution without bias: [batch, channels, h, w] to [batch, filters, h/stride, w/stride]."""

    def __init__(self, *args: Any, borders: str = "same", **options: Any) -> None:
        super().__init__(*args, bias=False, **options)
        self.symmetric = borders == "symmetric" and self.stride[0] > 1

    def forward(self, x: Tensor) -> Tensor:
        """Pads as the cell's borders are, and convolves."""
        stride, dilation = self.stride[0], self.dilation[0]
        left, right, top, bottom = pads(x, self.kernel_size, stride, dilation, self.symmetric)
        if right > left or bottom > top:
            x = F.pad(x, (0, right - left, 0, bottom - top))
        return F.conv2d(x, self.weight, None, stride, (top, left), dilation, self.groups)


def conv_norm(channels: int, filters: int, size: Any = 1, **options: Any) -> nn.Module:
    """ReLU (unless `relu=False`), convolution, batch normalization."""
    layers = OrderedDict(relu=nn.ReLU()) if options.pop("relu", True) else OrderedDict()
    layers["conv"] = Conv(channels, filters, size, **options)
    return nn.Sequential(OrderedDict(layers, norm=nn.BatchNorm2d(filters)))


def separable_norm(channels: int, filters: int, size: Any, **options: Any) -> nn.Module:
    """ReLU, depthwise and 1x1 convolution with nothing between them, batch normalization."""
    depthwise = Conv(channels, channels, size, groups=channels, **options)
    layers = OrderedDict(relu=nn.ReLU(), depthwise=depthwise)
    layers["pointwise"] = Conv(channels, filters, (1, 1))
    return nn.Sequential(OrderedDict(layers, norm=nn.BatchNorm2d(filters)))


class FactorizedReduction(nn.Module):
    """Halves the size by two subsamplings, one of them shifted by a pixel."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.path_1 = Conv(channels, filters - filters // 2, (1, 1))
        self.path_2 = Conv(channels, filters // 2, (1, 1))
        self.norm = nn.BatchNorm2d(filters)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, h, w] to [batch, filters, h/2, w/2], rounded up."""
        x = F.relu(x)
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1::2, 1::2]
        return self.norm(torch.cat((self.path_1(x[:, :, ::2, ::2]), self.path_2(shifted)), 1))


class Pool(nn.Module):
    """The maximum or the mean of size x size windows."""

    def __init__(self, kind: str, size: int, stride: int, borders: str) -> None:
        super().__init__()
        self.size, self.stride, self.largest = size, stride, kind == "max"
        self.symmetric = borders == "symmetric" and stride > 1
        self.zeros = borders in (("keras",) if self.largest else ("keras", "timm")) and stride > 1

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, h, w] to [batch, channels, h/stride, w/stride]."""
        around = pads(x, (self.size, self.size), self.stride, 1, self.symmetric)
        if self.zeros:
            pool, x = F.max_pool2d if self.largest else F.avg_pool2d, F.pad(x, around)
            return pool(x, self.size, self.stride)
        options = {"padding": (around[2], around[0]), "ceil_mode": not self.symmetric}
        if self.largest:
            return F.max_pool2d(x, self.size, self.stride, **options)
        return F.avg_pool2d(x, self.size, self.stride, count_include_pad=False, **options)


def operation(name: str, channels: int, filters: int, stride: int, borders: str) -> nn.Module:
    """One of the 13 operations, by its name in an architecture."""
    options = {"stride": stride, "borders": borders}
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    side = max(map(int, re.findall(r"\d+", name)), default=1)
    if name == "identity":
        if stride > 1 or channels != filters:
            layers["adapt"] = conv_norm(channels, filters, stride=stride)
    elif name.startswith(("max_pool", "avg_pool")):
        layers["pool"] = Pool(name[:3], side, stride, borders)
        if channels != filters:
            layers["adapt"] = conv_norm(channels, filters, relu=False)
    elif name.startswith("sep_conv"):
        layers["first"] = separable_norm(channels, filters, side, **options)
        layers["second"] = separable_norm(filters, filters, side)
    elif name == f"conv_1x{side}_{side}x1":
        layers["row"] = conv_norm(channels, filters, (1, side))
        layers["column"] = conv_norm(filters, filters, (side, 1), **options)
    else:
        dilation = 2 if name.startswith("dilated") else 1
        layers["only"] = conv_norm(channels, filters, side, dilation=dilation, **options)
    return nn.Sequential(layers)


class Block(nn.Module):
    """Two operations on two hidden states; added, or concatenated and projected."""

    def __init__(self, block: dict, channels: list[int], *around: Any) -> None:
        super().__init__()
        filters, stride, borders = around
        self.inputs = block["left_input"], block["right_input"]
        self.left, self.right = (
            operation(block[op], channels[state], filters, stride if state < 2 else 1, borders)
            for op, state in zip(("left_op", "right_op"), self.inputs, strict=True)
        )
        add = block["combine"] == "add"
        self.projection = None if add else conv_norm(2 * filters, filters)

    def forward(self, states: list[Tensor]) -> Tensor:
        """The new hidden state, of those before it."""
        left, right = self.left(states[self.inputs[0]]), self.right(states[self.inputs[1]])
        if self.projection is None:
            return left + right
        return self.projection(torch.cat((left, right), 1))


class Cell(nn.Module):
    """State 0 is made of the current input, state 1 of the previous one, the others by blocks."""

    def __init__(self, cell: dict, widths: list[int], change: Any, *around: Any) -> None:
        super().__init__()
        filters, stride, _ = around
        self.input_0 = conv_norm(widths[0], filters)
        self.input_1 = change(widths[1], filters) if change else nn.Identity()
        channels = [filters, filters if change else widths[1]] + [filters] * len(cell["blocks"])
        self.blocks = nn.ModuleList(Block(b, channels, *around) for b in cell["blocks"])
        read = {state for block in self.blocks for state in block.inputs}
        unread = [state for state in range(len(channels)) if state not in read]
        self.outputs = cell.get("outputs", unread)
        self.output_0, self.output_1 = nn.Identity(), nn.Identity()
        for state in {0, 1}.intersection(self.outputs):
            if stride == 2:
                setattr(self, f"output_{state}", FactorizedReduction(channels[state], filters))
            elif channels[state] != filters:
                setattr(self, f"output_{state}", conv_norm(channels[state], filters, relu=False))

    def forward(self, current: Tensor, previous: Tensor) -> Tensor:
        """The outputs side by side: [batch, channels, h/stride, w/stride]."""
        states = [self.input_0(current), self.input_1(previous)]
        for block in self.blocks:
            states.append(block(states))
        states[:2] = self.output_0(states[0]), self.output_1(states[1])
        return torch.cat([states[state] for state in self.outputs], 1)


class NASNet(nn.Module):
    """The network that a config.json describes: `architecture` is the cells, `macro` the skeleton."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        macro, architecture, layers = config["macro"], config["architecture"], config["layers"]
        imagenet, cells = macro["stem"] == "imagenet", macro["num_cells"]
        filters = int((32 if imagenet else macro["num_filters"]) * macro["stem_multiplier"])
        self.stem = conv_norm(macro["image_channels"], filters, 3, relu=False)
        if imagenet:
            self.stem.conv = nn.Conv2d(macro["image_channels"], filters, 3, stride=2, bias=False)
        plan = [("cell_stem_0", 0.25), ("cell_stem_1", 0.5)] if imagenet else []
        for stage in range(macro["num_reductions"] + 1):
            plan += [(f"reduction_cell_{stage - 1}", 2.0**stage)] if stage else []
            plan += [(f"cell_{stage * cells + i}", 2.0**stage) for i in range(cells)]
        self.cells, self.inputs = nn.ModuleList(), []  # Of each cell, which maps it reads.
        previous: Any = 0 if macro["uniform_inputs"] else None
        widths, halvings = [filters], [0]
        for current, (name, scale) in enumerate(plan):
            kind = "normal" if re.match(r"cell_\d", name) else "reduction"
            filters, read = int(macro["num_filters"] * scale), (current, previous)
            change: Any = None
            if previous is None:
                read = (current, current)
            elif halvings[previous] != halvings[current]:
                change = FactorizedReduction
            elif macro["uniform_inputs"] or widths[previous] != filters:
                change = conv_norm
            stride = 2 if kind == "reduction" else 1
            around = (filters, stride, borders_of(layers["edges"], name))
            cell = Cell(architecture[kind], [widths[i] for i in read], change, *around)
            self.cells.append(cell)
            self.inputs.append(read)
            widths.append(len(cell.outputs) * filters)
            halvings.append(halvings[current] + stride - 1)
            if not (macro["skip_reduction_layer_input"] and name.startswith("reduction")):
                previous = current
        classes = macro["num_classes"]
        self.head = nn.Linear(widths[-1], classes) if classes else nn.Identity()
        for norm in (module for module in self.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.eps = layers["norm_epsilon"]
        for name in ("mean", "std"):
            values = torch.tensor(config["preprocessing"][name])
            self.register_buffer(name, values.view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Pixels [batch, channels, height, width] from 0 to 255 to logits [batch, classes]."""
        maps = [self.stem((images.to(self.mean.dtype) - self.mean) / self.std)]
        for cell, (current, previous) in zip(self.cells, self.inputs, strict=True):
            maps.append(cell(maps[current], maps[previous]))
        return self.head(F.relu(maps[-1]).mean((2, 3)))


def load(folder: str) -> NASNet:
    """The trained network in a folder, in evaluation mode."""
    path = pathlib.Path(folder)
    model = NASNet(json.loads((path / "config.json").read_text(encoding="utf-8")))
    model.load_state_dict(load_file(path / "model.safetensors"))
    return model.eval()
