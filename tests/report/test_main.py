"""The command that writes reports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def report(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nasnet_jax.report", *map(str, arguments)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_one_search_gets_its_report_and_is_shown(
    make_workdir: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_workdir(40)
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    done = report(folder, "--open", BROWSER=f"{browser} %s")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Written to {folder / 'report.html'} (")
    assert opened.read_text().strip() == (folder / "report.html").as_uri()
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "http-equiv" in page and "finished" in page


def test_several_go_into_a_file(make_workdir: Callable[..., Path], tmp_path: Path) -> None:
    output = tmp_path / "compared.html"
    done = report(make_workdir(40), make_workdir(41, "random"), f"--output={output}")
    assert done.returncode == 0, done.stderr
    assert output.is_file()


def test_a_folder_without_a_search_is_explained_in_one_line(tmp_path: Path) -> None:
    done = report(tmp_path)
    assert done.returncode == 1
    assert "is no workdir of a search" in done.stderr and "Traceback" not in done.stderr
