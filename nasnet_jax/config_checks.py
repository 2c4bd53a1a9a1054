"""Checks of configurations that search and training share."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

from nasnet_jax.ranges import Range


def config_field(config: ml_collections.ConfigDict, name: str) -> Any:
    """Returns the value of a field; dots in its name lead into parts of the configuration."""
    value = config
    for part in name.split("."):
        value = value[part]
    return value


def config_fields(config: ml_collections.ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields with their values, those of parts by names with dots."""
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            yield from config_fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def check_fields(
    config: ml_collections.ConfigDict,
    defaults: ml_collections.ConfigDict,
    ranges: Mapping[str, Range],
) -> None:
    """Checks that a configuration has the fields of the defaults, and each number its range.

    Args:
        config: Of a search or a training.
        defaults: All fields that it may have.
        ranges: Of every field that is a number.

    Raises:
        ValueError: Naming the first field that is wrong, its value and what is allowed.
    """
    known, given = dict(config_fields(defaults)), dict(config_fields(config))
    for name in given.keys() - known.keys():
        near = difflib.get_close_matches(name, known, n=1)
        advice = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"The configuration has a field {name}, which nothing reads.{advice}")
    for name, default in known.items():
        if name not in given:
            raise ValueError(f"The configuration lacks {name}; start from default_config().")
        if name in ranges:
            _check_number(name, given[name], default, ranges[name])


def _check_number(name: str, value: Any, default: Any, allowed: Range) -> None:
    if value is None and default is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number, but it is {value!r}.")
    if value not in allowed:
        raise ValueError(f"{name} must be {allowed}, but it is {value}.")
    if isinstance(default, int) and not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, but it is {value}.")
