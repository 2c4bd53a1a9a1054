"""Every command in README and docs is run by some test, and every piece of Python here.

`RUN_BY` says for each command which test runs it. A command that is added to the text and not here
fails, and so do a flag that the program does not know, a line here whose command is gone, and one
whose test does not name the program and the flags. What is cheap is run by this file as it is written.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nasnet_jax.command_line import config_file

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

POD = "needs accelerators, a cluster or a data set"
HERE = "is run by this file"
WHOLE = "takes minutes, and its steps are run by tests one by one"

_COMMAND = re.compile(
    r"^(?:\$ )?((?:python3?|make|nasnet|pip|tensorboard|launch/\S+|sbatch|kubectl|sky|docker|gcloud) .*)$"
)
_FLAG = re.compile(r"--([a-z_]+(?:-[a-z]+)*)")

RUN_BY: dict[str, str] = {
    r"make (quickstart|test)": WHOLE,
    r"pip install '\.\[all\]'": "tests/test_wheel.py",
    r"nasnet search": "tests/test_wheel.py",
    r"python -m nasnet_jax\.search --config=\S+ --workdir": "tests/search/test_faults.py",
    r"python -m nasnet_jax\.train .*(imagenet|cifar)": POD,
    r"python -m nasnet_jax\.train --config=\S+ --workdir": "tests/train/test_train.py",
    r"python -m nasnet_jax\.draw nasnet_a": HERE,
    r"python -m nasnet_jax\.describe": HERE,
    r"python -m nasnet_jax\.report": "tests/report/test_main.py",
    r"python -m nasnet_jax\.predict": "tests/test_predict.py",
    r"python -m nasnet_jax\.export": "tests/test_export.py",
    r"python -m nasnet_jax\.serve": "tests/test_serve.py",
    r"python -m nasnet_jax\.import_weights": "tests/inference/published/test_importing.py",
    r"python -m nasnet_jax\.evaluate": "tests/train/test_measure.py",
    r"python examples/own_images\.py": "tests/examples/test_own_images.py",
    r"python -m nasnet_jax\.plan": "tests/planning/test_plan.py",
    r"python -m nasnet_jax\.compile_check": "tests/planning/test_check.py",
    r"python launch/local_pod\.py": HERE,
    r"python launch/(tpu_pod|kubernetes)\.py up": HERE,
    r"python launch/tpu_pod\.py": "tests/launch/test_tpu_pod.py",
    r"python launch/kubernetes\.py": "tests/launch/test_kubernetes.py",
    r"launch/slurm\.sh": HERE,
    r"sky|docker|gcloud": POD,
    r"python benchmarks/(report/measure|budget/(limits|halving))\.py": WHOLE,
    r"tensorboard --logdir": WHOLE,
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


def runner(command: str) -> str | None:
    """Says what runs a command: the first that matches."""
    return next((where for pattern, where in RUN_BY.items() if re.match(pattern, command)), None)


EVERY = sorted({command for page in PAGES for command in commands(page)})
OURS = [command for command in EVERY if command.startswith("python -m nasnet_jax.")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_run_by_a_test(page: Path) -> None:
    unknown = [command for command in commands(page) if runner(command) is None]
    assert not unknown, f"Say in RUN_BY of {Path(__file__).name} which test runs these."


def test_no_line_is_left_over() -> None:
    assert not [p for p in RUN_BY if not any(re.match(p, command) for command in EVERY)]


@pytest.mark.parametrize("command", [c for c in EVERY if (runner(c) or "").startswith("tests/")])
def test_the_named_test_runs_it(command: str) -> None:
    code = (ROOT / str(runner(command))).read_text(encoding="utf-8")
    words = command.split(" -- ")[0].split()
    program = words[2] if words[1] == "-m" else Path(words[1]).name
    # As a whole word of a command line, not as the name of what is imported.
    assert f'"{program}"' in code
    flags = {match[1] for word in words if (match := _FLAG.match(word)) and "--config." not in word}
    assert not [flag for flag in sorted(flags) if flag not in code and flag not in UNTESTED]


UNTESTED = {
    "port": "the example would serve for ever; the server itself is tested",
}


@pytest.mark.parametrize("module", sorted({command.split()[2] for command in OURS}))
def test_programs_know_the_flags_of_the_docs(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, timeout=120
    )
    given = {
        match[1]
        for command in OURS
        for word in command.split()
        if command.split()[2] == module and (match := _FLAG.match(word))
    }
    assert not [flag for flag in given if not re.search(rf"--(\[no\])?{flag}\b", done.stdout)]


@pytest.mark.parametrize("command", [c for c in OURS if "--config." in c and "NAME" not in c])
def test_configurations_have_the_fields_of_the_docs(command: str) -> None:
    file, _, variant = re.findall(r"--config=([^\s:]+)(:?)(\S*)", command)[0]
    spec = importlib.util.spec_from_file_location("experiment", ROOT / file)
    assert spec is not None and spec.loader is not None
    experiment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(experiment)
    config = experiment.get_config(*([variant] if variant else []))
    for field in re.findall(r"--config\.([\w.]+)=", command):
        value = config
        for name in field.split("."):
            value = value[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize("command", [c for c in EVERY if runner(c) == HERE])
def test_cheap_commands_do_what_they_say(command: str, tmp_path: Path) -> None:
    """As they are written, but launchers only say what they would do."""
    for folder in ("configs", "launch"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    words = command.split()
    if "launch/" in command:
        words.insert(words.index("--"), "--dry-run")
    if words[0] == "python":
        words[0] = sys.executable
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    outputs = [word.removeprefix("--output=") for word in words if word.startswith("--output=")]
    if outputs:
        assert (tmp_path / outputs[0]).stat().st_size > 1_000
    else:
        assert len(done.stdout) > 100


def test_the_named_programs_are_there() -> None:
    assert importlib.util.find_spec("tensorboard") is not None
    targets = {c.split()[1] for page in PAGES for c in commands(page) if c.startswith("make ")}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)
    configs = {
        word.removeprefix("--config=").split(":")[0]
        for page in PAGES
        for c in commands(page)
        for word in c.split()
        if word.startswith("--config=") and "NAME" not in word
    }
    assert all((ROOT / config_file(config)).is_file() for config in configs)


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
