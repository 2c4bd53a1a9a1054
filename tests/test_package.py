from __future__ import annotations

import re
import subprocess
import sys

import pytest

import nasnet_jax

pytestmark = pytest.mark.newest


def modules_after(statement: str) -> set[str]:
    """Returns the top-level modules that a fresh interpreter holds after `statement`."""
    program = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_importing_the_package_imports_no_library() -> None:
    assert not {"jax", "flax", "tensorflow", "numpy"} & modules_after("import nasnet_jax")


def test_the_space_needs_no_jax() -> None:
    after = modules_after("import nasnet_jax; nasnet_jax.Architecture; nasnet_jax.space")
    assert "nasnet_jax" in after
    assert not {"jax", "flax", "tensorflow"} & after


def test_data_loads_tensorflow_only_when_images_are_to_be_decoded() -> None:
    after = modules_after("from nasnet_jax.data import load_arrays; load_arrays('digits')")
    assert "sklearn" in after
    assert "tensorflow" not in after


def test_a_config_needs_no_tensorflow() -> None:
    after = modules_after("from nasnet_jax.train import default_config; default_config()")
    assert "ml_collections" in after
    assert "tensorflow" not in after


def test_version_is_a_release_number() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", nasnet_jax.__version__)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Architektur'"):
        nasnet_jax.Architektur  # noqa: B018


def test_what_is_imported_lazily_is_listed() -> None:
    assert {*nasnet_jax.__all__, "space", "formats"} <= set(dir(nasnet_jax))
    assert {"Architecture", "NASNet", "Supernet", "load", "search", "train"} <= set(
        nasnet_jax.__all__
    )
    for name in nasnet_jax.__all__:
        getattr(nasnet_jax, name)


def test_using_a_model_needs_neither_tensorflow_nor_plotting() -> None:
    """Nor anything else that the extra `all` brings."""
    extra = {"bokeh", "clu", "jinja2", "matplotlib", "sklearn", "tensorboard", "tensorflow"}
    statement = "import nasnet_jax; nasnet_jax.load; import nasnet_jax.formats"
    assert not extra & modules_after(statement)
