"""How long a device takes for a child: from a chip's data sheet, or measured on this machine.

The model: training on one image takes

    dense / D + window / W + elements / E   seconds

for the three numbers of `nasnet_jax.planning.work`. From a data sheet, with the assumptions below,

    D = peak operations a second * MATRIX_SHARE * min(1, F / 128) / 6
    W = D's peak without matrix units, 1/16 of it, likewise / 6
    E = memory bandwidth * MEMORY_SHARE / (bytes of a number * MOVES)

where 6 is two operations for a multiply-add, in three passes: forward and both gradients. F / 128 is
how much of a matrix unit so few channels fill. These shares are assumptions until somebody has measured
them on such a chip; `calibrate` measures D, W and E where it runs. An evaluated image counts a third.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import ml_collections
import numpy as np

from nasnet_jax.data.builtin import FakeSpec, make_fake
from nasnet_jax.mesh import search_mesh
from nasnet_jax.planning.search_size import SearchSize
from nasnet_jax.planning.topology import Chip
from nasnet_jax.planning.work import Work, child_work
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.space import OPERATIONS, Architecture, Block, Cell, Macro, sample_architecture

MATRIX_SHARE = 0.5
MEMORY_SHARE = 0.5
VECTOR_SHARE = 1 / 16
MOVES = 8
"""Times that a number which the forward pass writes crosses the memory's bus in a training step."""

PASSES = 3
EVALUATION = 1 / PASSES
"""An evaluated image's share of a trained one's time."""


@dataclasses.dataclass(frozen=True)
class Speed:
    """Seconds of training for one unit of each kind of work.

    Attributes:
        dense, window, elements: As in `Work`.
        source: Where the numbers are from, for people.
    """

    dense: float
    window: float
    elements: float
    source: str

    def seconds_per_image(self, work: Work) -> float:
        """Of training."""
        rates = np.array([self.dense, self.window, self.elements])
        return float(rates @ work.as_array())


def data_sheet_speed(chip: Chip, *, num_filters: int, bytes_of_number: int = 2) -> Speed:
    """The speed of a chip by its data sheet and this module's assumptions."""
    operations = 2 * PASSES
    fill = min(1.0, num_filters / 128)
    return Speed(
        dense=operations / (chip.flops * MATRIX_SHARE * fill),
        window=operations / (chip.flops * VECTOR_SHARE),
        elements=MOVES * bytes_of_number / (chip.bandwidth * MEMORY_SHARE),
        source=f"data sheet of {chip.name}, assumed shares; not measured",
    )


def child_seconds(
    speed: Speed, work: Work, size: SearchSize, *, batch_size: int, epochs: int
) -> float:
    """How long one device trains and evaluates a child."""
    images = epochs * size.steps * batch_size + EVALUATION * size.evaluations * batch_size
    return images * speed.seconds_per_image(work)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one architecture took: `seconds` for a trained image, with its `work`."""

    name: str
    work: Work
    seconds: float


def measure(
    config: ml_collections.ConfigDict,
    macro: Macro,
    architectures: Sequence[tuple[str, Architecture]],
    *,
    steps: int,
) -> list[Measurement]:
    """Trains children for a few steps on all devices of this machine and times them.

    All devices train the same child at a time, so that each is as busy as in a search.

    Args:
        config: Of the search; its program is compiled once.
        macro: Its skeleton.
        architectures: With names for people.
        steps: Of training for each; the first call of all is not counted.
    """
    config = config.copy_and_resolve_references()
    batch = config.child.batch_size
    config.dataset.num_validation = batch
    height, width = macro.image_height_width
    if height != width:
        raise ValueError(f"Only square images can be made up, not {height}x{width}.")
    dataset = make_fake(
        FakeSpec(
            num_train=batch * (steps + 1),
            num_test=1,
            num_classes=macro.num_classes or 1,
            image_size=height,
            channels=macro.image_channels,
        )
    )
    trainer = ChildTrainer(config, dataset, search_mesh(-1, config.mesh.data))
    row = trainer.mesh.shape["arch"]
    images = batch * (steps + EVALUATION)
    trainer.train([architectures[0][1]] * row, epochs=1)
    found = []
    for name, architecture in architectures:
        seconds = trainer.train([architecture] * row, epochs=1)[0].seconds
        work = child_work(architecture.canonical(), macro)
        found.append(Measurement(name, work, seconds / images))
    return found


def fit_speed(measurements: Sequence[Measurement]) -> Speed:
    """The speed that explains measurements best, in proportion, with no negative part."""
    from scipy.optimize import nnls

    seconds = np.array([one.seconds for one in measurements])
    work = np.stack([one.work.as_array() for one in measurements])
    scale = work.max(0)
    rates, _ = nnls(work / scale / seconds[:, None], np.ones(len(seconds)))
    dense, window, elements = rates / scale
    return Speed(dense, window, elements, f"measured here ({jax.devices()[0].device_kind})")


def calibration_architectures(num_blocks: int) -> list[tuple[str, Architecture]]:
    """One for each operation, all of whose blocks use it, and a few drawn at random."""
    found = []
    for name in OPERATIONS:
        blocks = tuple(Block(number, number + 1, name, name) for number in range(num_blocks))
        cell = Cell(blocks=blocks)
        found.append((name, Architecture(normal=cell, reduction=cell)))
    rng = np.random.default_rng(1)
    return found + [
        (f"random {number}", sample_architecture(rng, num_blocks)) for number in range(3)
    ]


def held_out_architectures(num_blocks: int, macro: Macro) -> list[tuple[str, Architecture]]:
    """A small, a middling and a large child, none of which the calibration has seen."""
    rng = np.random.default_rng(2)
    drawn = [sample_architecture(rng, num_blocks) for _ in range(32)]
    drawn.sort(key=lambda architecture: child_work(architecture.canonical(), macro).dense)
    return [("small child", drawn[1]), ("middling child", drawn[16]), ("large child", drawn[-2])]
