"""A training on images of which one cannot be decoded: refused by name, or without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_training import get_config

import nasnet_jax.train


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for number in range(20):
            path = tmp_path / "own" / split / ("cat", "dog")[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(path)
    damaged = tmp_path / "own" / "train" / "cat" / "6.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    return tmp_path / "own"


@pytest.mark.parametrize("in_memory", [False, True])
def test_it_is_refused_by_name_or_left_out(folder: Path, tmp_path: Path, in_memory: bool) -> None:
    config = get_config()
    config.dataset.update(name=f"folder:{folder}", channels=3, num_classes=2, in_memory=in_memory)
    config.update(batch_size=16, epochs=2.0)
    config.batch_norm.group_size = 4
    workdir = tmp_path / "run"
    with pytest.raises(ValueError, match="cat/6.png' is .*Or set dataset.skip_damaged=True"):
        nasnet_jax.train.run(config, workdir)
    assert not workdir.exists()
    config.dataset.skip_damaged = True
    nasnet_jax.train.run(config, workdir)
    assert "cat/6.png" in (workdir / "left_out.txt").read_text(encoding="utf-8")
    summary = json.loads((workdir / "summary.json").read_text(encoding="utf-8"))
    assert summary["test_count"] == 20
