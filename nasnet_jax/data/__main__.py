"""Writes test images as files: `python -m nasnet_jax.data --name=digits --output=DIR`."""

from __future__ import annotations

import os

import numpy as np
from absl import app, flags
from PIL import Image

from nasnet_jax import command

_NAME = flags.DEFINE_string(
    "name", None, "digits, fake, folder:PATH, arrays:FILE or a name of TFDS."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Of TFDS; its own default if left out.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the files, named NUMBER_CLASS.png.")
_COUNT = flags.DEFINE_integer("count", 5, "Images to write, from the first on.", lower_bound=1)
flags.mark_flags_as_required(["name", "output"])


def main(argv: list[str]) -> None:
    """Parses the command line, and writes and names the files."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from nasnet_jax.data import open_test_source
    from nasnet_jax.data.image_file import decode_image
    from nasnet_jax.paths import local_path

    source = open_test_source(str(_NAME.value), data_dir=_DATA_DIR.value)
    folder = local_path(str(_OUTPUT.value))
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(min(_COUNT.value, len(source))):
        (image,), (label,) = source.read(np.array([number]))
        if source.encoded:
            image = decode_image(image, source.channels, f"Image {number} of {source.name}")
        name = source.class_names[label].replace(os.sep, "-")
        path = folder / f"{number}_{name}.png"
        # A grey image has no third axis as a file.
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(path)
        print(path)


if __name__ == "__main__":
    command.run(main)
