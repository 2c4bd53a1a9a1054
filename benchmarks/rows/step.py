"""A training step of NASNet-Mobile: the same network and momentum on all sides."""

from __future__ import annotations

import mobile
from options import Options
from results import Row

TIMES = {8: 3}
LEAST = {"PyTorch eager, channels-last": 1.2, "Keras on JAX": 8.0}


def measure(options: Options) -> list[Row]:
    return mobile.compare(
        options, "NASNet-Mobile training step", mode="step", times=TIMES, least=LEAST
    )
