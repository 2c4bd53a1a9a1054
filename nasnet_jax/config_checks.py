"""Checks of configurations that search and training share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ml_collections


def config_field(config: ml_collections.ConfigDict, name: str) -> Any:
    """Returns the value of a field; dots in its name lead into parts of the configuration."""
    value = config
    for part in name.split("."):
        value = value[part]
    return value


def check_at_least(config: ml_collections.ConfigDict, limits: Iterable[tuple[str, float]]) -> None:
    """Checks that fields are not too small.

    Args:
        config: Of a search or a training.
        limits: Names of fields, as for `config_field`, with the least value each may have.

    Raises:
        ValueError: Naming the first field that is too small, its value and what is allowed.
    """
    for name, least in limits:
        value = config_field(config, name)
        # Written so that NaN does not pass.
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, but it is {value}.")
