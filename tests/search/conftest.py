"""A small search, and what it leaves when nothing disturbs it."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path

import ml_collections
import pytest

TINY = Path(__file__).with_name("tiny_search.py")


def _tiny_config() -> ml_collections.ConfigDict:
    spec = importlib.util.spec_from_file_location("tiny_search", TINY)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.fixture
def tiny_config() -> ml_collections.ConfigDict:
    return _tiny_config()


@pytest.fixture(scope="session")
def tiny_file() -> Path:
    """The same configuration as a file for `--config`."""
    return TINY


@pytest.fixture(scope="session")
def history_rows() -> Callable[[Path], list[dict[str, str]]]:
    """Reads a workdir's history without its times."""

    def read(workdir: Path) -> list[dict[str, str]]:
        with open(workdir / "history.csv", encoding="utf-8") as file:
            entries = list(csv.DictReader(file))
        for entry in entries:
            del entry["seconds"]
        return entries

    return read


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a search that ran to its end in this process."""
    from nasnet_jax.search.loop import run

    workdir = tmp_path_factory.mktemp("search")
    run(_tiny_config(), workdir)
    return workdir
