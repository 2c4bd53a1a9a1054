"""What a search leaves for TensorBoard."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nasnet_jax.report.drawing import architecture_image
from nasnet_jax.space import Architecture


def test_it_shows_scalars_histograms_the_best_cells_and_the_settings(
    finished: Path, history_rows: Callable[[Path], list[dict[str, str]]]
) -> None:
    events = EventAccumulator(str(finished), size_guidance={"tensors": 0}).Reload()
    kinds = {
        tag: events.SummaryMetadata(tag).plugin_data.plugin_name for tag in events.Tags()["tensors"]
    }
    scalars = {tag for tag, kind in kinds.items() if kind == "scalars"}
    assert {"reward_mean", "reward_max", "reward_best", "entropy"} <= scalars
    assert kinds["rewards"] == "histograms"
    assert "hparams" in kinds.values()
    assert kinds["best_cells"] == "images"
    # An image's first two strings are its width and height.
    *_, png = events.Tensors("best_cells")[-1].tensor_proto.string_val
    # The best of the search; re-ranking may choose another.
    best = max(history_rows(finished), key=lambda row: float(row["reward"]))
    image = architecture_image(Architecture.from_one_line(best["architecture"]))
    assert Image.open(io.BytesIO(png)).size == image.shape[1::-1]
