"""Every command in README and docs is run by some test, and every piece of Python here.

`RUN_BY` says for each command which test runs it. A command that is added to the text and not here
fails, and so does a line here whose command or whose test is gone.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

POD = "needs accelerators or a cluster"
HERE = "is run by this file"

_COMMAND = re.compile(
    r"^(?:\$ )?((?:python3?|make|pip|tensorboard|launch/\S+|sbatch|kubectl|sky|docker|gcloud) .*)$"
)

RUN_BY: dict[str, str] = {
    r"make quickstart": "tests/search/test_loop.py",
    r"make test": HERE,
    r"make setup": HERE,
    r"python -m nasnet_jax\.search .*search_cifar10": POD,
    r"python -m nasnet_jax\.search --config=\S+ --workdir": "tests/search/test_loop.py",
    r"python -m nasnet_jax\.train .*(imagenet|cifar)": POD,
    r"python -m nasnet_jax\.train --config=\S+ --workdir": "tests/train/test_train.py",
    r"python -m nasnet_jax\.draw nasnet_a": HERE,
    r"python -m nasnet_jax\.describe": "tests/test_describe.py",
    r"python -m nasnet_jax\.report": "tests/report/test_main.py",
    r"python -m nasnet_jax\.data ": "tests/data/test_main.py",
    r"python -m nasnet_jax\.predict": "tests/test_predict.py",
    r"python -m nasnet_jax\.export": "tests/test_export.py",
    r"python -m nasnet_jax\.import_weights": "tests/inference/published/test_importing.py",
    r"python -m nasnet_jax\.evaluate": "tests/train/test_measure.py",
    r"python examples/own_images\.py": "tests/examples/test_own_images.py",
    r"python launch/local_pod\.py": "tests/test_distributed.py",
    r"(python )?launch/\S+|sbatch|kubectl|sky|docker|gcloud": POD,
    r"python -m nasnet_jax\.(plan|compile_check|planning)": "tests/planning",
    r"tensorboard --logdir": HERE,
}


def commands(page: Path) -> list[str]:
    """Returns the commands of a page, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = (_COMMAND.match(line.strip()) for line in text.splitlines())
    return [re.sub(r"\s+", " ", match[1].split("  #")[0]).strip() for match in found if match]


def snippets() -> list[object]:
    pieces = []
    for page in PAGES:
        code = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M)
        pieces += [pytest.param(text, id=f"{page.stem}-{n}") for n, text in enumerate(code)]
    return pieces


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_run_by_a_test(page: Path) -> None:
    unknown = [
        command
        for command in commands(page)
        if not any(re.match(pattern, command) for pattern in RUN_BY)
    ]
    assert not unknown, f"Say in RUN_BY of {Path(__file__).name} which test runs these."


def test_the_named_tests_are_there() -> None:
    missing = [
        where
        for where in RUN_BY.values()
        if where not in (POD, HERE) and not (ROOT / where).exists()
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_the_drawing_commands_draw(tmp_path: Path) -> None:
    drawing = [
        command for page in PAGES for command in commands(page) if ".draw nasnet_a" in command
    ]
    assert drawing
    for command in drawing:
        words = command.split()[1:]
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        (output,) = (
            word.removeprefix("--output=") for word in words if word.startswith("--output=")
        )
        assert (tmp_path / output).stat().st_size > 1_000


def test_the_named_programs_are_there() -> None:
    assert importlib.util.find_spec("tensorboard") is not None
    targets = {c.split()[1] for page in PAGES for c in commands(page) if c.startswith("make ")}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)
    modules = {
        c.split()[2]
        for page in PAGES
        for c in commands(page)
        if c.startswith("python -m nasnet_jax.")
    }
    assert modules
    assert all(importlib.util.find_spec(module) is not None for module in modules)
    configs = {
        word.removeprefix("--config=").split(":")[0]
        for page in PAGES
        for c in commands(page)
        for word in c.split()
        if word.startswith("--config=") and "NAME" not in word
    }
    assert all((ROOT / config).is_file() for config in configs)


@pytest.mark.parametrize("code", snippets())
def test_python_in_the_docs_runs(code: str, tmp_path: Path) -> None:
    if "runs/" in code or "search.run(" in code:  # These need a run; their examples are tested.
        compile(code, "docs", "exec")
        return
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    if "print(rewards.mean())" in code:
        assert float(done.stdout) > 0.8
    if "cost(" in code:
        assert re.findall(r"# (\d{6,})", code) == [done.stdout.split()[-1]]
