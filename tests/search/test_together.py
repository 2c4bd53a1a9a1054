"""How many children a device trains at the same time, where the configuration leaves it open."""

from __future__ import annotations

import ml_collections
import pytest

from nasnet_jax.planning.topology import GIB
from nasnet_jax.search.child_program import make_child_program
from nasnet_jax.search.config import default_config, search_macro
from nasnet_jax.search.together import MOST_TOGETHER, fitted
from nasnet_jax.supernet import training_bytes


def number(platform: str, memory: int | None, **child: int) -> int:
    config = default_config()
    config.mesh.children_per_device = 0
    config.child.update(child)
    macro = search_macro(config, (32, 32, 3), 10)
    found = fitted(config, macro, platform=platform, memory=memory)
    assert config.mesh.children_per_device == 0
    return found.mesh.children_per_device


def test_a_given_number_stays() -> None:
    config = default_config()
    config.mesh.children_per_device = 3
    macro = search_macro(config, (32, 32, 3), 10)
    assert fitted(config, macro, platform="gpu", memory=1) is config


def test_one_on_a_cpu() -> None:
    assert number("cpu", None) == number("cpu", 24 * GIB) == 1


def test_as_many_as_fit_elsewhere() -> None:
    paper, smaller = number("gpu", 80 * GIB), number("gpu", 80 * GIB, batch_size=32)
    assert paper >= 4 and paper % 4 == 0
    # A quarter of the images are about a quarter of the memory.
    assert 3 * paper < smaller < 5 * paper
    assert number("gpu", 160 * GIB) == pytest.approx(2 * paper, abs=4)
    assert number("tpu", 10**15) == MOST_TOGETHER
    assert number("gpu", GIB // 8) == 1


def test_a_memory_that_is_not_known_is_asked_for() -> None:
    with pytest.raises(ValueError, match="Give a number"):
        number("gpu", None)


def test_children_together_take_what_each_takes() -> None:
    def taken(config: ml_collections.ConfigDict, children: int) -> int:
        config.mesh.children_per_device = children
        macro = search_macro(config, (32, 32, 3), 10)
        supernet = make_child_program(config, macro, platform="gpu").supernet
        return training_bytes(supernet, config.child.batch_size)

    config = default_config()
    assert taken(config, 16) == pytest.approx(16 * taken(config, 1), rel=0.05)
