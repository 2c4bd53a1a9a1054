"""Top-1, top-5 and loss of a network on labelled images, each counted exactly once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nasnet_jax.data.pipeline import Batch
from nasnet_jax.nn.nasnet import NASNet


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a network did.

    Attributes:
        top1: Share of the images whose label has the highest logit.
        top5: Share of the images whose label is among the five highest (or all, if there are
            fewer).
        loss: Mean cross-entropy, without label smoothing.
        count: Number of images.
    """

    top1: float
    top5: float
    loss: float
    count: int


def batch_sums(logits: jax.Array, labels: jax.Array, mask: jax.Array) -> dict[str, jax.Array]:
    """The sums over a batch that `Evaluation` is made of.

    Args:
        logits: `[batch, classes]`.
        labels: `[batch]` integers.
        mask: `[batch]` bool, false for padding, which counts nowhere.

    Returns:
        Scalars `top1`, `top5`, `loss` and `count`.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    _, best = jax.lax.top_k(logits, min(5, logits.shape[-1]))
    hits = best == labels[:, jnp.newaxis]
    # A network that has diverged to NaN has no best class.
    valid = mask & jnp.isfinite(losses)
    return {
        "top1": (hits[:, 0] & valid).sum(),
        "top5": (hits.any(1) & valid).sum(),
        "loss": jnp.where(mask, losses, 0.0).sum(),
        "count": mask.sum(),
    }


def from_processes(sharding: NamedSharding, arrays: Any) -> Any:
    """Makes arrays over all processes from what this one has of them.

    Args:
        sharding: Of each array.
        arrays: A tree of arrays of this process: its share, or the same whole on every process where
            the sharding is replicated.

    Returns:
        A tree of the same form.
    """
    return jax.tree.map(
        lambda array: jax.make_array_from_process_local_data(sharding, array),
        jax.device_get(arrays),
    )


class Evaluator:
    """A compiled forward pass and its sums, on a mesh with the axis `data`."""

    def __init__(self, graph: nnx.GraphDef[NASNet], mesh: Mesh) -> None:
        replicated = NamedSharding(mesh, P())
        self._by_example = NamedSharding(mesh, P("data"))

        def sums(
            parameters: nnx.State, statistics: nnx.State, batch: dict[str, jax.Array]
        ) -> dict[str, jax.Array]:
            network = nnx.merge(graph, parameters, statistics)
            return batch_sums(network(batch["image"]), batch["label"], batch["mask"])

        self._sums = jax.jit(
            sums,
            in_shardings=(replicated, replicated, self._by_example),
            out_shardings=replicated,
        )

    def compile(
        self,
        parameters: nnx.State,
        statistics: nnx.State,
        *,
        batch_size: int,
        image_shape: tuple[int, ...],
    ) -> None:
        """Compiles what `__call__` with such arguments would compile at its first batch.

        Args:
            parameters: Of the network.
            statistics: Of its batch normalizations.
            batch_size: Of all processes together.
            image_shape: `(height, width, channels)`.
        """

        def batch_of(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((batch_size, *shape), dtype, sharding=self._by_example)

        batch = {
            "image": batch_of(image_shape, np.float32),
            "label": batch_of((), np.int32),
            "mask": batch_of((), np.bool_),
        }
        self._sums.lower(parameters, statistics, batch).compile()

    def __call__(
        self, parameters: nnx.State, statistics: nnx.State, batches: Iterable[Batch]
    ) -> Evaluation:
        """Evaluates a network.

        Args:
            parameters: Of the network.
            statistics: Of its batch normalizations.
            batches: This process's share of the images, from `eval_batches`.

        Raises:
            ValueError: If there are no images.
        """
        totals = {"top1": 0.0, "top5": 0.0, "loss": 0.0, "count": 0.0}
        pending: dict[str, jax.Array] | None = None
        for batch in batches:
            # One batch is computed while the next one is read.
            sums = self._sums(parameters, statistics, from_processes(self._by_example, batch))
            _add(totals, pending)
            pending = sums
        _add(totals, pending)
        count = totals["count"]
        if not count:
            raise ValueError("There are no images to evaluate on.")
        return Evaluation(
            top1=totals["top1"] / count,
            top5=totals["top5"] / count,
            loss=totals["loss"] / count,
            count=int(count),
        )


def _add(totals: dict[str, float], sums: dict[str, jax.Array] | None) -> None:
    if sums is not None:
        for name, value in sums.items():
            totals[name] += float(np.asarray(value))
