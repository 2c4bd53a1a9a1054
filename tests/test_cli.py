"""`nasnet COMMAND`, and configurations by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nasnet_jax.cli import COMMANDS
from nasnet_jax.command_line import config_file

ROOT = Path(__file__).resolve().parent.parent


def nasnet(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nasnet_jax", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_every_command_is_there() -> None:
    package = ROOT / "nasnet_jax"
    files = [*package.glob("*.py"), *package.glob("*/__main__.py")]
    found = {
        file.parent.name if file.stem == "__main__" else file.stem
        for file in files
        if "command.run(main)" in file.read_text(encoding="utf-8")
    }
    assert found == set(COMMANDS)
    listed = nasnet().stdout
    assert all(name in listed and purpose in listed for name, purpose in COMMANDS.items())


def test_a_command_runs_as_its_module_does(tmp_path: Path) -> None:
    done = nasnet("draw", "nasnet_a", f"--output={tmp_path / 'cell.svg'}")
    assert done.returncode == 0 and (tmp_path / "cell.svg").stat().st_size > 1_000
    done = nasnet("draw", "--help")
    assert "Draws" in done.stdout and "--output" in done.stdout
    done = nasnet("draw", "nasnet_a", "--output=cell.txt")
    assert done.returncode == 1 and done.stderr.startswith("Error: ")


def test_an_unknown_command_is_one_line() -> None:
    done = nasnet("serch")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: there is no command 'serch'. Is search meant? nasnet --help lists them.\n"
    )


def test_configurations_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_file("quickstart") == str(ROOT / "configs" / "quickstart.py")
    released = config_file("imagenet_mobile:released")
    assert released == f"{ROOT / 'configs' / 'imagenet_mobile.py'}:released"
    for path in ("configs/quickstart.py", "quickstart.py", "/x/quickstart:released"):
        assert config_file(path) == path
    (tmp_path / "digits").write_text("my own")
    assert config_file("digits") == "digits"
    with pytest.raises(ValueError, match="no configuration 'quick'.* There are cifar10, "):
        config_file("quick")
