from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import nasnet_jax
from nasnet_jax.formats import write_export

RUN = """
import sys
sys.modules.update(nasnet_jax=None, flax=None, tensorflow=None)  # None makes an import fail.
import jax.export, numpy
network = jax.export.deserialize(bytearray(open("network.stablehlo", "rb").read()))
images = numpy.load("images.npy")
numpy.savez("logits.npz", all=network.call(images), one=network.call(images[:1]))
print(*network.platforms)
"""


def test_an_artefact_runs_without_this_package(tmp_path: Path, model_folder: Path) -> None:
    model = nasnet_jax.load(model_folder)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    _, notes = write_export(model, tmp_path / "network.stablehlo")
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.split() == ["cpu", "cuda", "tpu"]
    logits = np.load(tmp_path / "logits.npz")
    expected = model.predict(images).logits
    np.testing.assert_allclose(logits["all"], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(logits["one"], expected[:1], rtol=1e-4, atol=1e-4)
    assert json.loads(notes.read_text()) == {
        "platforms": ["cpu", "cuda", "tpu"],
        "preprocessing": json.loads(model.description.to_json())["preprocessing"],
        "class_names": ["ant", "bee", "cat", "dog"],
    }
