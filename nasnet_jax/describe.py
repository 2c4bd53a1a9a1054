"""Prints what a network costs: `python -m nasnet_jax.describe --config=configs/imagenet_mobile.py`."""

from __future__ import annotations

import json

from absl import app, flags
from ml_collections import config_flags

from nasnet_jax import command
from nasnet_jax.command_line import config_value

_CONFIG = config_flags.DEFINE_config_file("config", None, "File of a training.")
_ARCHITECTURE = flags.DEFINE_string(
    "architecture", None, "In place of the config's: nasnet_a, a .json file, or the one-line form."
)
_JSON = flags.DEFINE_bool("json", False, "Whether to print JSON in place of a table.")
flags.mark_flag_as_required("config")


def main(argv: list[str]) -> None:
    """Parses the command line and prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from nasnet_jax.report.cost_table import cost_data, cost_text
    from nasnet_jax.space import parse_architecture
    from nasnet_jax.train.config import check_config, config_macro

    config = config_value(_CONFIG)
    if "architecture" not in config or "model" not in config:
        raise ValueError(
            "This config has no architecture and no model: describe takes the config of a "
            "training, such as configs/imagenet_mobile.py."
        )
    check_config(config)
    architecture = parse_architecture(_ARCHITECTURE.value or config.architecture)
    macro = config_macro(config)
    if _JSON.value:
        print(json.dumps(cost_data(architecture, macro), indent=2))
    else:
        print(cost_text(architecture, macro))


if __name__ == "__main__":
    command.run(main)
