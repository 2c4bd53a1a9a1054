"""Worker: what a search does with its history after a batch of 20 children, at any length."""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

import numpy as np
from worker import Run, serve

from nasnet_jax.search.history import Entry, History, Status
from nasnet_jax.space import choices

BATCH = 20
NUM_BLOCKS = 5


def prepare(_: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    rng = np.random.default_rng(0)
    alternatives = choices(NUM_BLOCKS)

    def drawn(number: int) -> list[Entry]:
        rows = rng.integers(0, alternatives, (number, len(alternatives))).astype(np.int32)
        return [
            Entry(0, row, reward, Status.TRAINED, 1, 1, 1.0, 0.0, reward, 1, reward)
            for row, reward in zip(rows, rng.uniform(size=number), strict=True)
        ]

    history = History(len(alternatives))
    folder = tempfile.TemporaryDirectory()

    def batch() -> None:
        for entry in drawn(BATCH):
            history.find(entry.decisions)
            history.append(entry)
        history.winner()
        history.to_arrays()
        history.write_csv(pathlib.Path(folder.name) / "history.csv")

    def run(message: dict[str, Any]) -> dict[str, Any]:
        if "grow_to" in message:
            for entry in drawn(message["grow_to"] - len(history)):
                history.append(entry)
        # A batch, so that what is remembered of each child is there.
        batch()
        return {"length": len(history)}

    return run, {}


if __name__ == "__main__":
    serve(prepare)
