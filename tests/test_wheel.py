"""The wheel, installed in another environment: a search from outside of the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(words: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        list(map(str, words)),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of an environment that has the wheel, and of this one all but nasnet_jax."""
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, since what is built is left beside the sources.
    for name in ("nasnet_jax", "configs"):
        shutil.copytree(ROOT / name, folder / "sources" / name)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "sources")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", folder, folder / "sources"], check=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    (packages,) = (folder / "venv").glob("lib/*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", folder / "venv" / "bin" / "python"]
    done = run([*install, "install", "--quiet", "--no-deps", wheel], folder)
    assert done.returncode == 0, done.stderr
    # Behind the environment's own packages, and no line of an editable installation is read there.
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "venv" / "bin"


def test_a_search_by_the_name_of_its_configuration(installed: Path, tmp_path: Path) -> None:
    where = "import nasnet_jax; print(nasnet_jax.__file__)"
    assert str(installed.parent) in run([installed / "python", "-c", where], tmp_path).stdout
    words = [
        installed / "nasnet",
        "search",
        "--config=quickstart",
        f"--workdir={tmp_path / 'run'}",
        # As tests/search/tiny_search.py has it, which other tests have compiled.
        "--config.num_blocks=2",
        "--config.num_children=3",
        "--config.children_per_batch=3",
        "--config.child.num_filters=2",
        "--config.child.num_reductions=0",
        "--config.child.epochs=2",
        "--config.rerank.top_k=2",
        "--config.rerank.epochs=3",
    ]
    done = run(words, tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["finished"] and summary["children"] == 3
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
    shown = run([installed / "nasnet", "--version"], tmp_path)
    assert shown.stdout.split() == [summary_version(installed, tmp_path)]


def summary_version(installed: Path, folder: Path) -> str:
    code = "import importlib.metadata; print(importlib.metadata.version('nasnet_jax'))"
    return run([installed / "python", "-c", code], folder).stdout.strip()


def test_a_name_that_is_none_is_told_with_those_there_are(installed: Path, tmp_path: Path) -> None:
    done = run([installed / "nasnet", "train", "--config=imagnet", "--workdir=run"], tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no configuration 'imagnet'" in line and "imagenet_mobile, " in line
    assert not list(tmp_path.iterdir())
