"""The command that draws."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nasnet_jax.space import NASNET_A
from nasnet_jax.space.serialization import ONE_LINE_EXAMPLE

ROOT = Path(__file__).resolve().parent.parent


def draw(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nasnet_jax.draw", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
    )


def test_the_drawing_in_the_docs_is_what_the_command_draws(tmp_path: Path) -> None:
    done = draw("nasnet_a", "--output=a.svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # The layout's library is not to be heard.
    assert (tmp_path / "a.svg").read_bytes() == (ROOT / "docs" / "nasnet_a.svg").read_bytes()


@pytest.mark.parametrize("form", ["file", "line"])
def test_files_and_lines_are_drawn(tmp_path: Path, form: str) -> None:
    NASNET_A.save(tmp_path / "found.json")
    architecture = "found.json" if form == "file" else ONE_LINE_EXAMPLE
    done = draw(architecture, "--output=cell.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cell.png").read_bytes().startswith(b"\x89PNG")


def test_a_network_is_drawn(tmp_path: Path) -> None:
    done = draw("nasnet_a", "--network", "--num_cells=2", "--output=n.svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "normal cell × 2" in (tmp_path / "n.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense", "--output=a.svg"), "'nonsense' is not an architecture"),
        (("nasnet_a", "--output=a.bmp"), "svg, png, pdf"),
        (("nasnet_a", "--network", "--image_size=2", "--output=a.svg"), "too small"),
    ],
)
def test_mistakes_are_explained_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = draw(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
