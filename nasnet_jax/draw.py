"""Draws: `python -m nasnet_jax.draw ARCHITECTURE --output=cell.svg`.

ARCHITECTURE is a name such as `nasnet_a` or `resnet`, the path of a JSON file, or the one-line form.
With `--network` the stack of cells with their shapes is drawn instead of the cells' insides; with
`--schedule`, what a device does that trains several architectures at the same time.
"""

from __future__ import annotations

from absl import app, flags

from nasnet_jax import command

_OUTPUT = flags.DEFINE_string("output", None, "File to write; .svg, .png or .pdf says which kind.")
_NETWORK = flags.DEFINE_bool("network", False, "Draw a whole network: its cells and their shapes.")
_SCHEDULE = flags.DEFINE_bool("schedule", False, "Draw the chunks of a stage of normal cells.")
_CHUNK = flags.DEFINE_integer("chunk", 2, "Calls of a chunk, with --schedule.", 1, 1024)
_NUM_CELLS = flags.DEFINE_integer("num_cells", 6, "N, with --network or --schedule.", 1, 100)
_NUM_FILTERS = flags.DEFINE_integer("num_filters", 32, "F, with --network.", lower_bound=1)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 32, "Pixels, with --network.", lower_bound=1)
_NUM_CLASSES = flags.DEFINE_integer("num_classes", 10, "With --network.", lower_bound=0)
_STEM = flags.DEFINE_enum("stem", "cifar", ["cifar", "imagenet"], "With --network.")
_STEM_MULTIPLIER = flags.DEFINE_float("stem_multiplier", 3.0, "With --network; 1 for Mobile.")
flags.mark_flag_as_required("output")


def main(argv: list[str]) -> None:
    """Parses the command line and draws."""
    if len(argv) != 2 and not (_SCHEDULE.value and len(argv) > 2):
        raise app.UsageError("Give one architecture: a name, a JSON file or the one-line form.")
    if _SCHEDULE.value and _NETWORK.value:
        raise app.UsageError("Give --network or --schedule, not both.")
    from nasnet_jax.report import drawing, network_drawing, schedule_drawing
    from nasnet_jax.space import Macro, parse_architecture

    architecture = parse_architecture(argv[1])
    if _SCHEDULE.value:
        children = [parse_architecture(text) for text in argv[1:]]
        figure = schedule_drawing.schedule_figure(children, _NUM_CELLS.value, _CHUNK.value)
    elif _NETWORK.value:
        macro = Macro(
            num_cells=_NUM_CELLS.value,
            num_filters=_NUM_FILTERS.value,
            num_classes=_NUM_CLASSES.value,
            image_size=_IMAGE_SIZE.value,
            stem="imagenet" if _STEM.value == "imagenet" else "cifar",
            stem_multiplier=_STEM_MULTIPLIER.value,
        )
        figure = network_drawing.network_figure(architecture, macro)
    else:
        figure = drawing.architecture_figure(architecture)
    print(f"Drawn to {drawing.save(figure, str(_OUTPUT.value))}")


if __name__ == "__main__":
    command.run(main)
