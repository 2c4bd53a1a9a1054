"""The virtual environments of peers, which are not among our own requirements."""

from __future__ import annotations

import pathlib
import subprocess
import venv


def environment_python(folder: pathlib.Path, requirements: pathlib.Path) -> str:
    """Makes an environment with what a peer needs, unless it is there; returns its interpreter."""
    python = str(folder / "bin" / "python")
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        print(f"Installing {requirements.name}; this takes some minutes.", flush=True)
        venv.create(folder, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    return python
