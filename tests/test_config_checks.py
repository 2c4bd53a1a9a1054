from __future__ import annotations

import math

import ml_collections
import pytest

from nasnet_jax.config_checks import check_at_least, config_field

CONFIG = ml_collections.ConfigDict({"a": 1, "b": {"c": 2.5, "nan": math.nan}})


def test_dots_lead_into_parts():
    assert config_field(CONFIG, "a") == 1
    assert config_field(CONFIG, "b.c") == 2.5


def test_the_least_value_is_allowed():
    check_at_least(CONFIG, (("a", 1), ("b.c", 2.5)))


@pytest.mark.parametrize(("name", "least"), [("a", 2), ("b.c", 3), ("b.nan", 0)])
def test_less_is_named(name, least):
    with pytest.raises(ValueError, match=f"{name} must be at least {least}, but it is"):
        check_at_least(CONFIG, ((name, least),))
