"""What a user's command line, files and environment can cause ends in one line, whatever the command."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from command_lines import Ended, Line, ended

from nasnet_jax import command
from nasnet_jax.command import ending_for_people

ROOT = Path(__file__).resolve().parents[1]
SEARCH = str(ROOT / "tests" / "search" / "tiny_search.py")
TRAINING = str(ROOT / "tests" / "helpers" / "tiny_training.py")
EVERY = {
    "nasnet_jax.search": (f"--config={SEARCH}", "--workdir=w"),
    "nasnet_jax.train": (f"--config={TRAINING}", "--workdir=w"),
    "nasnet_jax.plan": (f"--config={SEARCH}", "--topology=v5e-1"),
    "nasnet_jax.compile_check": (f"--config={SEARCH}",),
    "nasnet_jax.describe": (f"--config={TRAINING}",),
    "nasnet_jax.evaluate": ("--checkpoint=m", "--dataset=digits"),
    "nasnet_jax.predict": ("--checkpoint=m", "image.png"),
    "nasnet_jax.export": ("--checkpoint=m", "--output=f"),
    "nasnet_jax.import_weights": ("--source=keras", "--weights=f.h5", "--output=o"),
    "nasnet_jax.draw": ("nasnet_a", "--output=cell.svg"),
    "nasnet_jax.data": ("--name=digits", "--output=i"),
    "nasnet_jax.report": ("w",),
}
"""The commands, with what they need."""
WITH_CONFIG = [name for name, words in EVERY.items() if words[0].startswith("--config")]
FILES = {
    "unfinished.py": ("def get_config(\n", "unfinished.py, line 1: '(' was never closed"),
    "no_function.py": ("x = 1\n", "has no attribute 'get_config'"),
    "dict.py": ("def get_config():\n  return {}\n", "returns dict, no ConfigDict"),
    "undefined.py": (
        "def get_config():\n  return x\n",
        "undefined.py, line 2: NameError: name 'x'",
    ),
    "badly_called.py": (
        "from nasnet_jax.train import default_config\ndef get_config():\n  return default_config(1)\n",
        "badly_called.py, line 3: TypeError",
    ),
    "fraction.py": (
        "import ml_collections\ndef get_config():\n  c = ml_collections.ConfigDict({'seed': 1})\n"
        "  c.seed = 1.5\n  return c\n",
        "fraction.py, line 4: TypeError: Could not override field 'seed'",
    ),
    "refusing.py": (
        "def get_config():\n  raise ValueError('Not on Sundays.')\n",
        "refusing.py, line 2: Not on Sundays.",
    ),
}
"""Files of configurations that are none, with what is said of them."""


def lines_and_answers() -> dict[str, tuple[Line, str]]:
    """Lines that cannot work by a name, each with a part of the sentence that it must end in."""
    table: dict[str, tuple[Line, str]] = {}

    def add(name: str, words: tuple[str, ...], answer: str, **environment: str) -> None:
        table[f"{words[0].partition('.')[2]}: {name}"] = Line(words, environment), answer

    for module, needed in EVERY.items():
        add("unknown flag", (module, *needed, "--foo"), "Unknown command line flag 'foo'")
        if module in ("nasnet_jax.predict", "nasnet_jax.report"):
            add("no arguments", (module, *needed[:-1]), ". --help says how it is called.")
        else:
            add("arguments", (module, *needed, "a", "b"), ". --help says how it is called.")
        if module in WITH_CONFIG:
            add(
                "no file",
                (module, "--config=no.py", *needed[1:]),
                "No such file or directory: 'no.py'",
            )
            add("unknown field", (module, *needed, "--config.dataset.nam=1"), 'Did you mean "name"')
    search, words = "nasnet_jax.search", EVERY["nasnet_jax.search"]
    for file, (_, answer) in FILES.items():
        add(file, (search, f"--config={file}", *words[1:]), answer)
    add(
        "a variant of none",
        (search, f"--config={SEARCH}:a", *words[1:]),
        "--config cannot be read: ",
    )
    add("folder", (search, "--config=/", *words[1:]), "Is a directory: '/'")
    add(
        "text for a number", (search, *words, "--config.seed=x"), "--config.seed=x: invalid literal"
    )
    add("number for a part", (search, *words, "--config.child=3"), "--config.child=3")
    add("empty workdir", (search, words[0], "--workdir="), "--workdir is empty")
    add("empty output", ("nasnet_jax.draw", "nasnet_a", "--output="), "--output is empty")
    add("no workdir", (search, *words[:1]), "--workdir must have a value")
    for module in ("search", "train", "evaluate", "predict", "export", "compile_check"):
        line = (f"nasnet_jax.{module}", *EVERY[f"nasnet_jax.{module}"])
        add(
            "no platform",
            line,
            "JAX finds no devices with JAX_PLATFORMS=cuda",
            JAX_PLATFORMS="cuda",
        )
    for name, value in (
        ("JAX_NUM_CPU_DEVICES", "0"),
        ("JAX_NUM_CPU_DEVICES", "x"),
        ("NPROC", "-1"),
    ):
        answer = f"{name} must be a whole number from 1 to 4096, but it is {value!r}"
        add(f"{name}={value}", (search, *words), answer, **{name: value})
    return table


LINES = lines_and_answers()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    """Where the lines run; `m` is a model."""
    path = tmp_path_factory.mktemp("lines")
    (path / "m").symlink_to(model_folder)
    for name, (text, _) in FILES.items():
        (path / name).write_text(text)
    return path


@pytest.fixture(scope="module")
def endings(folder: Path) -> dict[str, Ended]:
    """How all of them ended."""
    lines = [dataclasses.replace(line, folder=str(folder)) for line, _ in LINES.values()]
    return dict(zip(LINES, ended(lines), strict=True))


@pytest.mark.parametrize("name", LINES)
def test_a_wrong_command_line_ends_in_one_line(endings: dict[str, Ended], name: str) -> None:
    end, answer = endings[name], LINES[name][1]
    (line,) = end.err.splitlines()
    assert line.startswith("Error: ") and answer in line
    assert end.status == 1 and not end.out


def test_nothing_is_written_by_a_wrong_command_line(
    endings: dict[str, Ended], folder: Path
) -> None:
    assert {path.name for path in folder.iterdir()} - {"__pycache__", "m"} == set(FILES)


def started(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_variable_that_jax_does_not_understand_ends_in_one_line() -> None:
    done = started("nasnet_jax.plan", f"--config={SEARCH}", JAX_ENABLE_X64="perhaps")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ") and "'perhaps' for environment 'JAX_ENABLE_X64'" in line
    assert done.returncode == 1


def test_a_closed_pipe_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "nasnet_jax.describe", f"--config={TRAINING}"],
            stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (command.PIPE_CLOSED, "")


def test_a_full_device_ends_in_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nasnet_jax.describe", f"--config={TRAINING}"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "Error: [Errno 28] No space left on device\n"


class Saved(Exception):
    exit_status = 75


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command line without flags, of a process that ends in order."""
    # Without their check: other tests of this process may have imported commands that ask for some.
    flags.FLAGS.mark_as_parsed()
    monkeypatch.setattr(command.os, "_exit", sys.exit)


def end_of(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as caught, ending_for_people():
        raise error
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ValueError("This is wrong:\n  a\n  b"), 1, "This is wrong:\n  a\n  b"),
        (MemoryError(), 1, "MemoryError"),
        (ImportError("No module named 'gcsfs'"), 1, "No module named 'gcsfs'"),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (Saved("It ended."), 75, "It ended. The same command resumes it."),
    ],
)
def test_exceptions_have_a_status_and_no_traceback(
    parsed: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    text: str,
) -> None:
    # What a library raises is told in its first line alone; this test is to be ours.
    monkeypatch.setattr(command, "__file__", str(ROOT / "tests" / "one.py"))
    found, err = end_of(error, capsys)
    assert found == status and text in err and "Traceback" not in err


def test_what_a_library_raises_is_one_line_with_the_way_to_more(
    parsed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = end_of(ValueError("bad\nmore\nmore"), capsys)
    assert err == "Error: bad (ValueError; --traceback shows where it arose.)\n"


def test_the_flag_shows_the_traceback(
    parsed: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flags.FLAGS["traceback"], "value", True)
    status, err = end_of(ValueError("bad"), capsys)
    assert status == 1 and err.startswith("Traceback") and "\nError: bad" in err


def test_a_defect_keeps_its_traceback_and_is_called_one(
    parsed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    status, err = end_of(TypeError("a defect"), capsys)
    assert status == 1 and "TypeError: a defect" in err
    assert "may be a defect of nasnet_jax" in err.splitlines()[-1]
