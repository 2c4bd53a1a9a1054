"""Prints what networks cost: `python -m nasnet_jax.describe --config=configs/imagenet_mobile.py`.

With `--compare`, several architectures in the same skeleton, side by side:
`python -m nasnet_jax.describe --config=configs/imagenet_mobile.py --compare nasnet_a resnet`.
"""

from __future__ import annotations

import json
from typing import Any

from absl import app, flags
from ml_collections import config_flags

from nasnet_jax import command
from nasnet_jax.command_line import config_value

_CONFIG = config_flags.DEFINE_config_file("config", None, "File of a training.")
_ARCHITECTURE = flags.DEFINE_string(
    "architecture", None, "In place of the config's: a name, a .json file, or the one-line form."
)
_COMPARE = flags.DEFINE_bool(
    "compare", False, "Whether the words behind the flags are architectures to compare."
)
_JSON = flags.DEFINE_bool("json", False, "Whether to print JSON in place of a table.")
flags.mark_flag_as_required("config")


def main(argv: list[str]) -> None:
    """Parses the command line and prints the table."""
    if len(argv) > 1 and not _COMPARE.value:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from nasnet_jax.report.cost_table import (
        comparison_data,
        comparison_text,
        cost_data,
        cost_text,
    )
    from nasnet_jax.space import parse_architecture
    from nasnet_jax.train.config import check_config, config_macro

    config = config_value(_CONFIG)
    if "architecture" not in config or "model" not in config:
        raise ValueError(
            "This config has no architecture and no model: describe takes the config of a "
            "training, such as configs/imagenet_mobile.py."
        )
    check_config(config)
    macro = config_macro(config)
    if _COMPARE.value:
        names = argv[1:] or [_ARCHITECTURE.value or config.architecture]
        compared = {name: parse_architecture(name) for name in names}
        data: Any = comparison_data(compared, macro)
        text = comparison_text(compared, macro)
    else:
        architecture = parse_architecture(_ARCHITECTURE.value or config.architecture)
        data, text = cost_data(architecture, macro), cost_text(architecture, macro)
    print(json.dumps(data, indent=2) if _JSON.value else text)


if __name__ == "__main__":
    command.run(main)
