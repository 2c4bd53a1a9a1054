"""The file for LiteRT in TensorFlow's own interpreter; `test_runtimes.py` runs LiteRT's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nasnet_jax.formats import load_for, write_export


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_a_file_gives_our_logits_by_the_names_of_its_signature(
    model_folder: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    model = load_for("tflite", model_folder)
    file, notes = write_export(model, tmp_path / "network.tflite", "tflite")
    assert json.loads(notes.read_text())["input"] == ["batch", 8, 8, 3]
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    run = tf.lite.Interpreter(str(file)).get_signature_runner()
    for number in (1, 3):
        expected = model.predict(images[:number]).logits
        found = run(images=images[:number])["logits"]
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
