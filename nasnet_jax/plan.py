"""Says what an experiment would take before it is paid for.

python -m nasnet_jax.plan --config=configs/search_cifar10.py --topology=v5e-256 --price=1.2
"""

from __future__ import annotations

from absl import app, flags
from ml_collections import config_flags

from nasnet_jax import command
from nasnet_jax.command_line import config_value

_CONFIG = config_flags.DEFINE_config_file("config", None, "File of a search or a training.")
_TOPOLOGY = flags.DEFINE_string(
    "topology", "local", "v5e:4x4 or v5e-16 (also v4, v5p, v6e), h100-8, or local."
)
_CALIBRATE = flags.DEFINE_bool(
    "calibrate", False, "Whether to measure this machine's devices and plan with their speed."
)
_PRICE = flags.DEFINE_float("price", None, "Of one device for an hour.", lower_bound=0.0)
flags.mark_flag_as_required("config")


def main(argv: list[str]) -> None:
    """Parses the command line and prints the plan."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from nasnet_jax.platform import find_devices, use_every_core

    use_every_core()
    from nasnet_jax.planning import plan
    from nasnet_jax.planning.check import is_search
    from nasnet_jax.planning.search_size import search_size
    from nasnet_jax.planning.topology import parse_topology

    config, topology = config_value(_CONFIG), parse_topology(_TOPOLOGY.value)
    if not is_search(config):
        print(plan.training_text(config, topology, price=_PRICE.value))
        return
    if _CALIBRATE.value:
        speed, checks = plan.calibrate(config, search_size(config))
        print(plan.calibration_text(checks))
    else:
        speed = plan.search_speed(config, topology)
    devices = topology.num_devices or len(find_devices())
    planned = plan.plan_search(config, topology, speed=speed, num_devices=devices)
    print(plan.plan_text(planned, price=_PRICE.value))


if __name__ == "__main__":
    command.run(main)
