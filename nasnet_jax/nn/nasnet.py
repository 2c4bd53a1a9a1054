"""NASNet: a stack of cells with a fixed architecture, "N @ P" in the paper's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import jax
import jax.numpy as jnp
from flax import nnx

from nasnet_jax.nn.cell import CellModule
from nasnet_jax.nn.drop_path import DropPath, depth_share
from nasnet_jax.nn.heads import AuxiliaryHead, Head
from nasnet_jax.nn.layers import KeySequence, LayerConfig, ReluConvNorm
from nasnet_jax.space import STEM, Architecture, CellWidths, Macro


class NASNet(nnx.Module):
    """An image classifier whose cells are `architecture` and whose skeleton is `macro`.

    Args:
        architecture: What is inside the cells.
        macro: The skeleton.
        config: What all layers have in common.
        dropout_rate: Share of the pooled features that `training_logits` drops (0.5 on ImageNet).
        aux_head: Whether there is an auxiliary head, which only `training_logits` uses. All that
            belongs to it lies under the attribute `aux_head`.
        remat: Whether the gradient computes each cell again instead of keeping what is inside it,
            which spares memory and costs about a third more time.
        rngs: For the initial parameters; no key is kept.

    Raises:
        ValueError: If `aux_head` is asked for where the network can have none, or `dropout_rate` is
            not in [0, 1).
    """

    def __init__(
        self,
        architecture: Architecture,
        macro: Macro,
        *,
        config: LayerConfig,
        dropout_rate: float = 0.0,
        aux_head: bool = False,
        remat: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        if not 0.0 <= dropout_rate < 1.0:
            raise ValueError(f"dropout_rate is at least 0 and below 1, but it is {dropout_rate}.")
        rngs = cast(nnx.Rngs, KeySequence(rngs.params()))
        imagenet = macro.stem == "imagenet"
        self.stem = ReluConvNorm(
            macro.image_channels,
            macro.stem_filters,
            (3, 3),
            stride=2 if imagenet else 1,
            padding="VALID" if imagenet else "SAME",
            relu=False,
            config=config,
            rngs=rngs,
        )
        widths = macro.widths(architecture)
        cells = {"normal": architecture.normal, "reduction": architecture.reduction}
        self.cells = nnx.List(
            CellModule(cells[place.kind], place, around, config=config, rngs=rngs)
            for place, around in zip(macro.cells, widths, strict=True)
        )
        self.head = (
            None
            if macro.num_classes is None
            else Head(widths[-1].output, macro.num_classes, rngs=rngs)
        )
        self.aux_head = (
            _auxiliary_head(macro, widths, config=config, rngs=rngs) if aux_head else None
        )
        self.macro = macro
        self.architecture = architecture
        self.dropout_rate = dropout_rate
        self.remat = remat

    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits `[batch, classes]`, or features `[batch, channels]` without a head, in float32.

        Args:
            images: `[batch, height, width, channels]`, scaled as the network was trained.
        """
        features = self.features(images)
        return features if self.head is None else self.head(features)

    def training_logits(
        self,
        images: jax.Array,
        *,
        key: jax.Array,
        drop_prob: jax.Array | float,
        scale_by_depth: bool,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Logits with dropout, DropPath and the auxiliary head.

        Args:
            images: `[batch, height, width, channels]`.
            key: A typed key, for all that is random in this call.
            drop_prob: The present probability of dropping a path; a Python 0 leaves DropPath out.
            scale_by_depth: Whether cell c of T drops with `drop_prob * (c + 1) / T` (the released
                code) instead of `drop_prob` (the paper).

        Returns:
            Logits `[batch, classes]` (features without a head), and those of the auxiliary head, or
            `None` where there is none.
        """
        dropout_key, path_key = jax.random.split(key)
        drop = (
            None
            if isinstance(drop_prob, int | float) and drop_prob == 0
            else DropPath(path_key, drop_prob)
        )
        outputs = self._run(images, drop, scale_by_depth)
        features = _pooled(outputs[-1])
        if self.dropout_rate > 0:
            keep = 1.0 - self.dropout_rate
            stays = jax.random.bernoulli(dropout_key, keep, features.shape)
            features = jnp.where(stays, features / keep, 0.0)
        logits = features if self.head is None else self.head(features)
        place = self.macro.aux_head_cell
        if self.aux_head is None or place is None:
            return logits, None
        return logits, self.aux_head(outputs[1 + place.index])

    def features(self, images: jax.Array) -> jax.Array:
        """What the classifier reads: the last map, rectified and averaged, `[batch, channels]`."""
        return _pooled(self._run(images)[-1])

    def feature_maps(self, images: jax.Array) -> list[jax.Array]:
        """The outputs of all cells, in order: `[batch, height, width, channels]` each."""
        return self._run(images)[1:]

    def stage_maps(self, images: jax.Array) -> list[jax.Array]:
        """The last map of each size, from the largest to the smallest, as detectors read them.

        At strides 1, 2, 4 with the CIFAR stem and 2, 4, 8, 16, 32 with that of ImageNet. They are
        not rectified; everything that reads a map here begins with a ReLU.
        """
        maps = self._run(images)
        ends = [place.index for place in self.macro.cells if place.kind == "reduction"]
        return [maps[index] for index in ends] + [maps[-1]]

    def end_points(self, images: jax.Array) -> dict[str, jax.Array]:
        """All maps under the names that slim's `nasnet_test.py` gives them.

        `Stem` (with its reduction cells on ImageNet), `Cell_0`, ..., `Reduction_Cell_0`, ...,
        `Global_Pool` and, with a head, `Logits` and `Predictions` (probabilities).
        """
        maps = self._run(images)
        points = {"Stem": maps[0]}
        for place, output in zip(self.macro.cells, maps[1:], strict=True):
            in_stem = place.name.startswith("cell_stem")
            points["Stem" if in_stem else place.name.title()] = output
        points["Global_Pool"] = _pooled(maps[-1])
        if self.head is not None:
            points["Logits"] = self.head(points["Global_Pool"])
            points["Predictions"] = nnx.softmax(points["Logits"])
        return points

    def _run(
        self, images: jax.Array, drop: DropPath | None = None, scale_by_depth: bool = False
    ) -> list[jax.Array]:
        """The output of the stem convolution and of every cell."""
        maps = [self.stem(images)]
        run = nnx.remat(CellModule.__call__) if self.remat else CellModule.__call__
        for place, cell in zip(self.macro.cells, self.cells, strict=True):
            current = maps[place.current - STEM]
            previous = current if place.previous is None else maps[place.previous - STEM]
            cell_drop = None
            if drop is not None:
                share = depth_share(place.index, len(self.cells)) if scale_by_depth else 1.0
                cell_drop = DropPath(drop.part(place.index).key, drop.probability * share)
            maps.append(run(cell, current, previous, cell_drop))
        return maps


def _pooled(x: jax.Array) -> jax.Array:
    """`[batch, height, width, channels]` to its rectified mean `[batch, channels]`, in float32."""
    return nnx.relu(x).mean((1, 2), dtype=jnp.promote_types(x.dtype, jnp.float32))


def _auxiliary_head(
    macro: Macro, widths: Sequence[CellWidths], *, config: LayerConfig, rngs: nnx.Rngs
) -> AuxiliaryHead:
    """The head for the cell that the skeleton names, or an error where it names none."""
    place = macro.aux_head_cell
    if place is None or macro.num_classes is None:
        raise ValueError(
            "An auxiliary head needs num_classes, a reduction cell, and maps of at least 5x5 in front "
            "of the last one. Use larger images, or no auxiliary head."
        )
    channels, size = widths[place.index].output, place.output_size
    return AuxiliaryHead(channels, size, macro.num_classes, config=config, rngs=rngs)
