"""A search on CIFAR-10 with the paper's children in number and depth, for as long as there is.

`ON_GPU_SECONDS` says how long. The images are those of the file `ON_GPU_CIFAR10`, which `carry.sh`
makes: where this is for, there is no TensorFlow to read those of TFDS.
"""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Iterator

from options import Options
from processes import ROOT, Worker, ours
from results import Row, row

CHILD = {"num_filters": 16, "epochs": 2, "batch_size": 32}
"""Of proxy size; the paper's 20 epochs of twice the width are ten times as long."""

CHILDREN = 64


def measure(options: Options) -> Iterator[Row]:
    seconds = float(os.environ.get("ON_GPU_SECONDS", "120"))
    settings = options.settings(
        data=f"arrays:{images()}", validation=1000, children=CHILDREN, graphs=False, child=CHILD
    )
    if options.quick:
        small = {"num_cells": 1, "num_filters": 2, "num_reductions": 0, "batch_size": 8}
        settings |= {
            "data": "fake",
            "validation": 16,
            "children": 2,
            "child": small | {"epochs": 1},
        }
        seconds = 1.0
    with (
        tempfile.TemporaryDirectory() as folder,
        Worker(ours(), "ours.cifar", settings) as worker,
    ):
        answer = worker.ask({"seconds": seconds, "workdir": folder})
    yield row(
        "children of a search on CIFAR-10 in an hour, K=64",
        "1/h",
        3600 * answer["children"] / answer["seconds"],
        details={**worker.facts, **answer},
    )


def images() -> pathlib.Path:
    """The file with CIFAR-10 as arrays."""
    return pathlib.Path(os.environ.get("ON_GPU_CIFAR10", ROOT / ".cache" / "gpu" / "cifar10.npz"))
