"""A search's program on one device, with data that is made up."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from sizes import ChildSize

from nasnet_jax.data.augment import channel_statistics
from nasnet_jax.data.builtin import FakeSpec, make_fake
from nasnet_jax.search.child_program import ChildProgram, Control, Data, make_child_program
from nasnet_jax.search.config import search_macro


class OnOneDevice(NamedTuple):
    """What is needed to run a search's program by itself.

    Attributes:
        program: The program.
        data: Images that are made up.
        key: Of all children, its numbers.
        mesh: Of the first device alone.
    """

    program: ChildProgram
    data: Data
    key: jax.Array
    mesh: Mesh

    def control(self, *, first: bool, steps: int, evaluate: bool) -> Control:
        """A call of so many steps."""
        return Control(
            first=np.bool_(first),
            start=np.int32(0),
            steps=np.int32(steps),
            horizon=np.int32(steps),
            evaluate=np.bool_(evaluate),
        )


def on_one_device(size: ChildSize, config: Any) -> OnOneDevice:
    """Makes the program of a configuration, and its data."""
    made = make_fake(FakeSpec(**config.dataset.fake))
    kept = size.steps * size.batch_size
    mean, std = channel_statistics(made.train_images[:kept])
    data = Data(
        made.train_images[:kept],
        made.train_labels[:kept],
        made.train_images[kept:],
        made.train_labels[kept:],
        np.ones(len(made.train_labels) - kept, np.float32),
        mean,
        std,
    )
    macro = search_macro(config, made.image_shape, made.num_classes)
    program = make_child_program(config, macro, platform=jax.default_backend())
    mesh = Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("arch", "data"))
    return OnOneDevice(program, data, jax.random.key_data(jax.random.key(0)), mesh)
