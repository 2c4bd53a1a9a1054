"""Installs the wheel with each of its extras: `python benchmarks/package/measure.py`.

The table says how many megabytes of packages an environment has then, pip left out, and how many seconds
of a processor a fresh process takes to import what it is for: the median of five.
"""

from __future__ import annotations

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
IMPORTS = {
    "": "import nasnet_jax; nasnet_jax.load",
    "[serve]": "import nasnet_jax.serving",
    "[all]": "import nasnet_jax.search, nasnet_jax.train; nasnet_jax.search.run; nasnet_jax.train.run",
}
REPEATS = 5


def main() -> None:
    print("| installed | MB | imported | processor seconds |")
    print("| --- | ---: | --- | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(pathlib.Path(folder))
        for extra, statement in IMPORTS.items():
            place = pathlib.Path(folder, f"venv{extra}")
            python = install(place, f"{wheel}{extra}")
            row = (
                f"`nasnet_jax{extra}`",
                megabytes(place),
                f"`{statement}`",
                seconds(python, statement),
            )
            print("| {} | {:,.0f} | {} | {:.1f} |".format(*row), flush=True)


def build(folder: pathlib.Path) -> pathlib.Path:
    """Makes the wheel."""
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run(words, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(place: pathlib.Path, requirement: str) -> str:
    """Makes an environment with it, of the versions that CI saw; returns its interpreter."""
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    pins = "py311" if sys.version_info < (3, 12) else "py312"
    words = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    subprocess.run([*words, "-c", ROOT / "constraints" / f"{pins}.txt"], check=True)
    return python


def megabytes(place: pathlib.Path) -> float:
    (packages,) = place.glob("lib/*/site-packages")
    files = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(f.stat().st_size for f in files if f.relative_to(packages).parts[0] != "pip") / 1e6


def seconds(python: str, statement: str) -> float:
    """The first run, which compiles to bytecode, does not count."""
    taken = []
    for _ in range(1 + REPEATS):
        before = os.times()
        subprocess.run([python, "-c", statement], check=True, cwd="/", capture_output=True)
        after = os.times()
        user = after.children_user - before.children_user
        taken.append(user + after.children_system - before.children_system)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()
