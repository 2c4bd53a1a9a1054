"""Imports: `python -m nasnet_jax.import_weights --source=keras --weights=FILE --output=DIR`.

FILE holds the published weights of NASNet-A Mobile or Large, or what a training made of them: Keras'
.h5, .keras or .weights.h5, timm's or Cadene's .safetensors or .pth, or a TF-slim checkpoint
(model.ckpt). DIR becomes a model that
`python -m nasnet_jax.predict --checkpoint=DIR IMAGE` and `nasnet_jax.load(DIR)` take.
"""

from __future__ import annotations

from absl import app, flags

from nasnet_jax import command

_SOURCE = flags.DEFINE_enum(
    "source", None, ["keras", "timm", "cadene", "slim"], "Who published the weights."
)
_WEIGHTS = flags.DEFINE_string("weights", None, "The file; for slim, the checkpoint.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the model that is written.")
flags.mark_flags_as_required(["source", "weights", "output"])


def main(argv: list[str]) -> None:
    """Parses the command line and imports."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from nasnet_jax.inference.published import import_weights
    from nasnet_jax.platform import find_devices

    find_devices()
    description = import_weights(str(_SOURCE.value), str(_WEIGHTS.value), str(_OUTPUT.value))
    macro = description.macro
    height, width = macro.image_height_width
    output = f"{macro.num_classes} classes" if macro.num_classes else "features, no classifier"
    print(
        f"NASNet-A of {macro.num_cells} cells a stage and {macro.num_filters} filters, {height}x{width} "
        f"pixels, {output}: written to {_OUTPUT.value}"
    )
    for name, title in (("classifier", "Classifier"), ("left_out", "Left out")):
        if name in description.config:
            print(f"{title}: {description.config[name]}")


if __name__ == "__main__":
    command.run(main)
