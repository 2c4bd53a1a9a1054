"""Writes a network as StableHLO: `python -m nasnet_jax.export --checkpoint=DIR --output=FILE`."""

from __future__ import annotations

from absl import app, flags

from nasnet_jax import command

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "Workdir of a training, or folder of a model; local or gs://.",
    required=True,
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The file to write; FILE.json is written beside it.", required=True
)
_FOLD = flags.DEFINE_bool("fold", True, "Fold batch normalization into the convolutions.")


def main(argv: list[str]) -> None:
    """Parses the command line, loads and exports."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from nasnet_jax.inference import load, write_export

    model = load(_CHECKPOINT.value, fold=_FOLD.value)
    notes = write_export(model, _OUTPUT.value)
    artefact = str(notes).removesuffix(".json")
    height, width = model.description.preprocessing.image_size
    channels = model.description.preprocessing.channels
    print(f"Wrote {artefact}, and {notes} on how to prepare images. To run it:\n")
    print("  import jax.export, numpy")
    print(f"  network = jax.export.deserialize(bytearray(open({artefact!r}, 'rb').read()))")
    print(f"  network.call(numpy.zeros((1, {height}, {width}, {channels}), 'uint8'))")


if __name__ == "__main__":
    command.run(main)
