"""Where architectures come from if no controller proposes them: chance, or a person."""

from __future__ import annotations

import numpy as np

from nasnet_jax.paths import local_path
from nasnet_jax.space.architecture import Architecture
from nasnet_jax.space.decisions import choices
from nasnet_jax.space.named import NAMED, NOT_EXPRESSED
from nasnet_jax.space.serialization import ONE_LINE_EXAMPLE


def sample_architecture(rng: np.random.Generator, num_blocks: int = 5) -> Architecture:
    """Draws every decision uniformly from its choices.

    Args:
        rng: The source of randomness; it is advanced.
        num_blocks: B, the number of blocks in a cell.
    """
    return Architecture.from_decisions(rng.integers(0, choices(num_blocks)))


def parse_architecture(text: str) -> Architecture:
    """Makes an architecture of what a person writes in a config or on a command line.

    Args:
        text: A name of `NAMED`, the path of a JSON file, or the one-line form.

    Raises:
        FileNotFoundError: If the text looks like a path but there is no file.
        ValueError: If the text is none of the three or describes no valid architecture.
    """
    text = text.strip()
    if text.lower() in NAMED:
        return NAMED[text.lower()]
    if text.lower() in NOT_EXPRESSED:
        raise ValueError(NOT_EXPRESSED[text.lower()])
    if text.startswith("normal:"):
        return Architecture.from_one_line(text)
    if text.endswith(".json") or (text and local_path(text).is_file()):
        return Architecture.load(text)
    raise ValueError(
        f"{text!r} is not an architecture. Give a name ({', '.join(NAMED)}), the path of a .json "
        f"file, or the one-line form, for example {ONE_LINE_EXAMPLE!r}."
    )
