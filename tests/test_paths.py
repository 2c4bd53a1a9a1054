"""`~` is the home folder wherever a path is taken: in every command and in Python."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest
from command_lines import Ended, Line, ended
from PIL import Image

import nasnet_jax
from nasnet_jax.inference import open_image
from nasnet_jax.report.drawing import architecture_figure, save
from nasnet_jax.space import NASNET_A, Architecture, parse_architecture
from nasnet_jax.workdir import absolute_workdir

PACKAGE = Path(nasnet_jax.__file__).parent
SEARCH = "--config=~/search.py"
TRAINING = "--config=~/training.py"
MISSING = {
    "configuration": (("search", "--config=~/no.py", "--workdir=w"), "directory: '{}/no.py'"),
    "workdir": (("search", SEARCH, "--workdir=~/full"), "The folder {}/full is not empty"),
    "folder": (
        ("search", SEARCH, "--workdir=~/w", "--config.dataset.name=folder:~/no"),
        "There is no folder '{}/no' of images",
    ),
    "arrays": (
        ("train", TRAINING, "--workdir=~/w", "--config.dataset.name=arrays:~/no.npz"),
        "There is no file '{}/no.npz'",
    ),
    "architecture": (
        ("train", TRAINING, "--workdir=~/w", "--config.architecture=~/no.json"),
        "no architecture file '{}/no.json'",
    ),
    "first weights": (
        ("train", TRAINING, "--workdir=~/w", "--config.init_from=~/no"),
        "There is no folder '{}/no'",
    ),
    "described": (("describe", TRAINING, "--architecture=~/no.json"), "file '{}/no.json'"),
    "evaluated": (("evaluate", "--checkpoint=~/no", "--dataset=digits"), "no folder '{}/no'"),
    "predicted": (("predict", "--checkpoint=~/no", "a.png"), "There is no folder '{}/no'"),
    "exported": (("export", "--checkpoint=~/no", "--output=~/f"), "There is no folder '{}/no'"),
    "imported": (
        ("import_weights", "--source=keras", "--weights=~/no.h5", "--output=~/m"),
        "'{}/no.h5'",
    ),
    "drawn": (("draw", "~/no.json", "--output=~/cell.svg"), "no architecture file '{}/no.json'"),
    "written": (("data", "--name=folder:~/no", "--output=~/images"), "no folder '{}/no' of images"),
    "reported": (("report", "~/no"), "'{}/no' is no workdir of a search"),
}
"""Command lines that name what is not there, and what is said of it; {} is the home folder."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("home")
    helpers = Path(__file__).parent
    shutil.copy(helpers / "search" / "tiny_search.py", path / "search.py")
    shutil.copy(helpers / "helpers" / "tiny_training.py", path / "training.py")
    (path / "full").mkdir()
    (path / "full" / "notes.txt").touch()
    return path


@pytest.fixture(scope="module")
def endings(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """How all of `MISSING` ended, in another folder that stays empty."""
    folder = tmp_path_factory.mktemp("elsewhere")
    lines = [
        Line((f"nasnet_jax.{words[0]}", *words[1:]), {"HOME": str(home)}, str(folder))
        for words, _ in MISSING.values()
    ]
    found = dict(zip(MISSING, ended(lines), strict=True))
    assert not list(folder.iterdir())
    return found


@pytest.mark.parametrize("name", MISSING)
def test_commands_look_in_the_home_folder(endings: dict[str, Ended], home: Path, name: str) -> None:
    assert MISSING[name][1].format(home) in endings[name].err.splitlines()[-1]


def test_so_does_python(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model_folder: Path,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert absolute_workdir("~/runs/a") == tmp_path / "runs" / "a"
    NASNET_A.save("~/found.json")
    assert Architecture.load("~/found.json") == parse_architecture("~/found.json") == NASNET_A
    assert save(architecture_figure(NASNET_A), "~/cell.svg").stat().st_size > 1_000
    Image.new("RGB", (3, 2)).save(tmp_path / "image.png")
    assert open_image("~/image.png").shape == (2, 3, 3)
    shutil.copytree(model_folder, tmp_path / "model")
    assert nasnet_jax.load("~/model").class_names == ("ant", "bee", "cat", "dog")
    assert not (tmp_path / "~").exists()


def test_only_paths_know_what_a_persons_path_means() -> None:
    """A parameter that takes a path goes through `local_path`, and is not used as it is."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef) or file.name == "paths.py":
                continue
            arguments = (*function.args.args, *function.args.kwonlyargs, function.args.vararg)
            paths = {
                argument.arg
                for argument in arguments
                if argument
                and argument.annotation
                and "PathLike" in ast.unparse(argument.annotation)
            }
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                name = ast.unparse(call.func)
                # Remote folders have no home.
                if name == "epath.Path":
                    continue
                given = {ast.unparse(argument) for argument in call.args}
                if given & paths and name.rpartition(".")[2] in ("Path", "open", "exists", "isdir"):
                    found.append(f"{file.relative_to(PACKAGE)}: {ast.unparse(call)}")
    assert not found
