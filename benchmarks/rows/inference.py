"""NASNet-Mobile inference, with all cores or one accelerator."""

from __future__ import annotations

import mobile
from options import Options
from results import Row

TIMES = {8: 5, 1: 20}
LEAST = {"Keras on JAX": 8.0, "Keras on TensorFlow": 1.3, "PyTorch eager, channels-last": 1.3}


def measure(options: Options) -> list[Row]:
    return mobile.compare(
        options, "NASNet-Mobile inference", mode="inference", times=TIMES, least=LEAST
    )
