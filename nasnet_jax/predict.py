"""Classifies image files: `python -m nasnet_jax.predict --checkpoint=DIR IMAGE...`."""

from __future__ import annotations

import json
import sys

from absl import app, flags

from nasnet_jax import command

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "Workdir of a training, or folder of a model; local or gs://.",
    required=True,
)
_JSON = flags.DEFINE_bool("json", False, "Print JSON instead of a table.")
_TOP = flags.DEFINE_integer("top", 5, "Classes to print for each image.", lower_bound=1)


def main(argv: list[str]) -> None:
    """Parses the command line, predicts and prints."""
    files = argv[1:]
    if not files:
        raise app.UsageError("Name one image file or more behind the options.")
    from nasnet_jax.inference import load, open_image

    model = load(_CHECKPOINT.value)
    channels = model.description.preprocessing.channels
    best = model.predict(open_image(file, channels) for file in files).top(_TOP.value)
    if _JSON.value:
        rows = [
            {
                "image": file,
                "classes": [{"name": name, "probability": share} for name, share in classes],
            }
            for file, classes in zip(files, best, strict=True)
        ]
        json.dump(rows, sys.stdout, indent=2)
        print()
        return
    for file, classes in zip(files, best, strict=True):
        print(file)
        for name, share in classes:
            print(f"  {share:8.2%}  {name}")


if __name__ == "__main__":
    command.run(main)
