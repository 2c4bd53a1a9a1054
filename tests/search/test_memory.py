"""The data set of a search is in the host's memory once, however many CPU devices there are."""

from __future__ import annotations

from pathlib import Path

import jax
import ml_collections
import numpy as np

from nasnet_jax.data.dataset import Dataset
from nasnet_jax.mesh import search_mesh
from nasnet_jax.search.child_trainer import ChildTrainer

IMAGES = 80_000
SIZE = 32


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_devices_of_a_cpu_share_the_images(tiny_config: ml_collections.ConfigDict) -> None:
    images = np.full((IMAGES, SIZE, SIZE, 1), 7, np.uint8)
    images[::2] = 9
    labels = np.arange(IMAGES, dtype=np.int32) % 10
    dataset = Dataset("grey", images, labels, images[:10], labels[:10], tuple("abcdefghij"))
    before = resident()
    trainer = ChildTrainer(tiny_config, dataset, search_mesh(-1, 1))
    assert jax.device_count() == 4
    # Some of it may lie in memory that the process had before.
    assert images.nbytes / 2 < resident() - before < 2 * images.nbytes
    placed, mean, deviation = trainer.training_images
    assert len(placed) == IMAGES - 300
    assert set(np.unique(placed)) == {7, 9}
    assert abs(mean[0] - 8) < 0.01 and abs(deviation[0] - 1) < 0.01
