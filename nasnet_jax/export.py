"""Writes a network for another runtime: `python -m nasnet_jax.export --format=onnx --checkpoint=DIR ...`.

What is written runs without this package. docs/serving.md compares the formats.
"""

from __future__ import annotations

import re

from absl import app, flags

from nasnet_jax import command

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "Workdir of a training or a search, or folder of a model; local or gs://.",
    required=True,
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The file (FILE.json is written beside it) or, for pytorch and hub, the folder; local or gs://.",
    required=True,
)
_FORMAT = flags.DEFINE_enum(
    "format",
    "stablehlo",
    ["stablehlo", "pytorch", "hub", "onnx", "tflite"],
    "For which runtime.",
)
_FOLD = flags.DEFINE_bool(
    "fold",
    True,
    "Fold batch normalization into the convolutions, where nothing is trained further.",
)
_FEATURES = flags.DEFINE_bool("features", False, "Give what the classifier reads, without it.")
_IMAGE_SIZE = flags.DEFINE_string(
    "image_size", None, "Pixels, 224 or 224x320 (height, width); by default the network's own."
)


def main(argv: list[str]) -> None:
    """Parses the command line, loads and exports."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    image_size = _parse_size(_IMAGE_SIZE.value)
    from nasnet_jax.formats import FORMATS, load_for, write_export

    name, output = _FORMAT.value, _OUTPUT.value
    model = load_for(
        name,
        _CHECKPOINT.value,
        fold=_FOLD.value,
        features=_FEATURES.value,
        image_size=image_size,
    )
    files = write_export(model, output, name)
    height, width = model.description.preprocessing.image_size
    channels = model.description.preprocessing.channels
    example = FORMATS[name].example.format(
        output=output, height=height, width=width, channels=channels
    )
    for file in files:
        print(f"Wrote {file}")
    print(f"\nTo run it:\n\n  {example.replace(chr(10), chr(10) + '  ')}")


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", text)
    if match is None or "0" in (match[1], match[2]):
        raise ValueError(f"--image_size is as 224 or 224x320 (height, width), but it is {text!r}.")
    return int(match[1]), int(match[2] or match[1])


if __name__ == "__main__":
    command.run(main)
