"""How many children a device trains at the same time."""

from __future__ import annotations

import ml_collections

from nasnet_jax.search.child_program import make_child_program
from nasnet_jax.space import Macro
from nasnet_jax.supernet import training_bytes

MOST_TOGETHER, SHARE_OF_MEMORY = 256, 0.7
"""What `fitted` allows: 256 children keep any device busy, and the rest of the memory is for what
`training_bytes` does not count."""


def fitted(
    config: ml_collections.ConfigDict, macro: Macro, *, platform: str, memory: int | None
) -> ml_collections.ConfigDict:
    """The configuration with a number of children a device, where it leaves that open.

    On a CPU that is one: more at the same time are not faster there (`benchmarks/rows/together.py`).
    Elsewhere it is what fits the memory, in multiples of 4.

    Args:
        config: Of the search; `mesh.children_per_device` 0 leaves it open.
        macro: The skeleton of its networks.
        platform: Of the devices, as JAX calls it.
        memory: Bytes of a device's; None where that is not known.

    Raises:
        ValueError: If it depends on a memory that is not known.
    """
    if config.mesh.children_per_device:
        return config
    if platform == "cpu":
        number = 1
    elif memory is None:
        raise ValueError(
            "mesh.children_per_device=0 asks for as many children as fit the devices' memory, which "
            "these do not tell. Give a number."
        )
    else:
        number = _number(config, macro, platform, memory)
    config = config.copy_and_resolve_references()
    config.mesh.children_per_device = number
    return config


def _number(config: ml_collections.ConfigDict, macro: Macro, platform: str, memory: int) -> int:
    config = config.copy_and_resolve_references()
    config.mesh.children_per_device = 1
    supernet = make_child_program(config, macro, platform=platform).supernet
    batch = config.child.batch_size // config.mesh.data
    fits = SHARE_OF_MEMORY * memory / training_bytes(supernet, batch)
    number = min(MOST_TOGETHER, int(fits))
    return number // 4 * 4 if number >= 4 else max(number, 1)
