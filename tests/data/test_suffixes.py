from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasnet_jax.data.image_file import FORMATS, open_image
from nasnet_jax.data.suffixes import IMAGE_SUFFIXES, suffix


@pytest.mark.parametrize("end", [*IMAGE_SUFFIXES, ".JPG", ".Tif"])
def test_files_that_end_so_are_read(end: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    file = tmp_path / f"a.b{end}"
    Image.fromarray(pixels).save(file, Image.registered_extensions()[end.lower()])
    assert suffix(file) in IMAGE_SUFFIXES
    assert open_image(file).shape == (9, 7, 3)


def test_every_format_that_is_read_has_a_suffix() -> None:
    assert {Image.registered_extensions()[end] for end in IMAGE_SUFFIXES} == {*FORMATS}
    assert {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"} <= {*IMAGE_SUFFIXES}
