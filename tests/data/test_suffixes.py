from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasnet_jax.data.suffixes import IMAGE_SUFFIXES, suffix


@pytest.mark.parametrize("end", IMAGE_SUFFIXES)
def test_pillow_writes_and_reads_files_that_end_so(end: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, Image.registered_extensions()[end])
    file.seek(0)
    assert np.asarray(Image.open(file).convert("RGB")).shape == (9, 7, 3)


def test_capital_letters_do_not_matter() -> None:
    assert suffix(Path("a/b.x.JPG")) == ".jpg"
    assert {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"} <= {*IMAGE_SUFFIXES}
