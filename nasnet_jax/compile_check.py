"""Compiles an experiment for devices that need not be there, and says whether it would run.

python -m nasnet_jax.compile_check --config=configs/search_cifar10.py --topology=v5e:4x4
"""

from __future__ import annotations

import sys

from absl import app, flags
from ml_collections import config_flags

from nasnet_jax import command
from nasnet_jax.command_line import config_value

_CONFIG = config_flags.DEFINE_config_file("config", None, "File of a search or a training.")
_TOPOLOGY = flags.DEFINE_string(
    "topology",
    "local",
    "v5e:4x4 or v5e-16 (also v4, v5p, v6e), h100-8 (also a100, h200), or local: this machine's devices.",
)
flags.mark_flag_as_required("config")


def main(argv: list[str]) -> None:
    """Parses the command line, prints the findings, and exits with 1 if there is a problem."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from nasnet_jax.planning.topology import parse_topology

    topology = parse_topology(_TOPOLOGY.value)
    if topology.is_local:
        from nasnet_jax.platform import use_every_core

        use_every_core()
    else:
        import jax

        # The devices are only described: JAX must not look for them. Its variable would be too late.
        jax.config.update("jax_platforms", "cpu")
    from nasnet_jax.planning.check import check, check_text

    result = check(config_value(_CONFIG), topology)
    print(check_text(result))
    sys.exit(1 if result.problems else 0)


if __name__ == "__main__":
    command.run(main)
