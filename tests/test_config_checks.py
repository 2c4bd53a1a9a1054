"""Every number of both configurations: what is out of range is refused by its name, before all else."""

from __future__ import annotations

import math
from pathlib import Path

import ml_collections
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax import search, train
from nasnet_jax.config_checks import check_fields, config_field, config_fields
from nasnet_jax.ranges import Range
from nasnet_jax.search import config as search_config
from nasnet_jax.train import config as train_config

MODULES = {"search": search_config, "training": train_config}
NUMBERS = [(kind, name) for kind, module in MODULES.items() for name in module.RANGES]
ODD = (-1, 0, 1, 0.5, 2**31, 2**32, 2**63, 10**30, 1e30, -math.inf, math.inf, math.nan)
"""What a slip of the hand or of a script writes into a field."""


def with_value(kind: str, name: str, value: object) -> ml_collections.ConfigDict:
    """The defaults with one value, of whatever type."""
    config = MODULES[kind].default_config()
    part, _, field = name.rpartition(".")
    (config_field(config, part) if part else config).unlock()
    with config.ignore_type():
        (config_field(config, part) if part else config)[field] = value
    return config


@pytest.mark.parametrize("kind", MODULES)
def test_every_number_has_a_range_that_its_default_is_in(kind: str) -> None:
    module = MODULES[kind]
    defaults = module.default_config()
    numbers = {
        name
        for name, value in config_fields(defaults)
        if (isinstance(value, (int, float)) and not isinstance(value, bool)) or value is None
    }
    assert numbers == module.RANGES.keys()
    assert all(
        value is None or value in module.RANGES[name]
        for name, value in config_fields(defaults)
        if name in numbers
    )


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
def test_what_is_out_of_range_is_refused_by_its_name(kind: str, name: str) -> None:
    allowed = MODULES[kind].RANGES[name]
    default = config_field(MODULES[kind].default_config(), name)
    refused = 0
    for value in ODD:
        if value in allowed and (isinstance(value, int) or not isinstance(default, int)):
            continue
        refused += 1
        with pytest.raises(ValueError, match=rf"^{name} must be .*, but it is ") as caught:
            MODULES[kind].check_config(with_value(kind, name, value))
        assert "\n" not in str(caught.value)
    assert refused >= 5


@given(st.sampled_from(NUMBERS), st.integers() | st.floats())
def test_any_number_passes_or_is_named(field: tuple[str, str], value: float) -> None:
    kind, name = field
    try:
        MODULES[kind].check_config(with_value(kind, name, value))
    except ValueError as error:
        # It may be a combination that cannot work; then the other field is named as well.
        assert name.rpartition(".")[2] in str(error)
    else:
        assert math.isfinite(value) and value in MODULES[kind].RANGES[name]


@pytest.mark.parametrize(("kind", "run"), [("search", search.run), ("training", train.run)])
def test_nothing_is_written_for_a_wrong_number(kind: str, run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seed must be at least 0 and at most 4,294,967,295"):
        run(with_value(kind, "seed", -1), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["3", None, True, [1]])
def test_what_is_no_number_is_called_so(value: object) -> None:
    with pytest.raises(ValueError, match="seed must be a number, but it is"):
        search_config.check_config(with_value("search", "seed", value))


def test_fields_that_nothing_reads_and_those_that_are_missing_are_named() -> None:
    defaults = ml_collections.ConfigDict({"part": {"epochs": 1}, "name": "x"})
    ranges = {"part.epochs": Range(1, 3)}
    check_fields(defaults, defaults, ranges)
    mistyped = ml_collections.ConfigDict({"part": {"epochs": 1, "epoch": 2}, "name": "x"})
    with pytest.raises(
        ValueError, match=r"part\.epoch, which nothing reads\. Did you mean part\.epochs"
    ):
        check_fields(mistyped, defaults, ranges)
    with pytest.raises(ValueError, match=r"lacks part\.epochs"):
        check_fields(ml_collections.ConfigDict({"name": "x"}), defaults, ranges)


def test_ranges_say_what_they_are() -> None:
    assert str(Range(0, 1000, above=True)) == "above 0 and at most 1,000"
    assert str(Range(0, 1, below=True)) == "at least 0 and below 1"
    assert 1 not in Range(0, 1, below=True) and 0 not in Range(0, 1, above=True)
