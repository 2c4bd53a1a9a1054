"""What a search tells TensorBoard and the log after each batch, by clu's writers."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import ml_collections
import numpy as np
from flax import traverse_util

from nasnet_jax.report.drawing import architecture_image
from nasnet_jax.search.history import Entry

if TYPE_CHECKING:
    from clu.metric_writers import MetricWriter


class Metrics:
    """Writes metrics; in a pod the first process does.

    The writer is made with the first of them. TensorFlow comes with it, for which the children of the
    first batch would otherwise wait some seconds, and which the other processes do not need.
    """

    def __init__(self, folder: pathlib.Path, config: ml_collections.ConfigDict) -> None:
        self._folder = folder
        self._config = config
        self._drawn: str | None = None

    def write(
        self, children: int, scalars: Mapping[str, float], rewards: np.ndarray, best: Entry
    ) -> None:
        """Writes what a batch brought.

        Args:
            children: Finished so far, the step of TensorBoard's axis.
            scalars: By their names.
            rewards: Of the batch, float32 `[n]`.
            best: Of all children so far; drawn when it is another one than before.
        """
        if jax.process_index() > 0:
            return
        self._writer.write_scalars(children, scalars)
        self._writer.write_histograms(children, {"rewards": rewards})
        if best.one_line != self._drawn:
            self._drawn = best.one_line
            image = architecture_image(best.architecture)
            self._writer.write_images(children, {"best_cells": image[np.newaxis]})
        self._writer.flush()

    @functools.cached_property
    def _writer(self) -> MetricWriter:
        from clu import metric_writers

        writer = metric_writers.create_default_writer(self._folder)
        writer.write_hparams(traverse_util.flatten_dict(self._config.to_dict(), sep="."))
        return writer

    def close(self) -> None:
        """Ends the writer's threads."""
        if "_writer" in self.__dict__:
            self._writer.close()
