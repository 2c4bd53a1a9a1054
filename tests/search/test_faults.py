"""The command under faults: on a full disk, killed at several moments, told to end.

A start of it is mostly imports, so one workdir goes through several faults.
"""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ml_collections
import numpy as np
import pytest
from pods import on_full_disk, started

from nasnet_jax.data.sources import load_arrays
from nasnet_jax.mesh import search_mesh
from nasnet_jax.preemption import EXIT_CODE
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.space import sample_architecture

Rows = Callable[[Path], list[dict[str, str]]]
LIMIT = 240
"""Seconds that one start of the command may take."""


def command(config: Path, workdir: Path, *flags: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "nasnet_jax.search",
        f"--config={config}",
        f"--workdir={workdir}",
        *flags,
    ]


def children(workdir: Path) -> int:
    """Children in the history as it is on disk."""
    path = workdir / "history.csv"
    return len(path.read_text(encoding="utf-8").splitlines()) - 1 if path.exists() else 0


def saving(workdir: Path, step: int) -> bool:
    """Whether the checkpoint of a step is being written, or has been."""
    return any((workdir / "checkpoints").glob(f"{step}*"))


# In the order in which they come, so that each start gets further than the one before.
MOMENTS: dict[str, Callable[[Path], bool]] = {
    "before the first batch": lambda workdir: (workdir / "checkpoints").exists(),
    "while the first batch is saved": lambda workdir: saving(workdir, 1),
    "in the second batch": lambda workdir: children(workdir) >= 3,
    "while the last batch is saved": lambda workdir: saving(workdir, 3),
}


@pytest.mark.timeout(900)
def test_full_disk_and_kills_lose_nothing(
    finished: Path, tiny_file: Path, history_rows: Rows, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    search = command(tiny_file, workdir)
    result = subprocess.run(
        on_full_disk(search), timeout=LIMIT, capture_output=True, text=True, check=False
    )
    assert result.returncode not in (0, EXIT_CODE)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ") and "could not be written: File too large." in line
    assert not (workdir / "history.csv").exists()
    assert [path for path in workdir.iterdir() if path.name.startswith(".")] == []
    for moment, has_come in MOMENTS.items():
        until = functools.partial(has_come, workdir)
        with started(search, until=until, limit=LIMIT) as process:
            process.send_signal(signal.SIGKILL)
            assert process.wait(LIMIT) == -signal.SIGKILL, moment
    subprocess.run(search, check=True, timeout=LIMIT, capture_output=True)
    assert history_rows(workdir) == history_rows(finished)
    best = "best_architecture.json"
    assert (workdir / best).read_bytes() == (finished / best).read_bytes()


@pytest.mark.timeout(600)
def test_told_to_end_it_saves_and_says_how_to_go_on(
    finished: Path, tiny_file: Path, history_rows: Rows, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    # More children than it will train, so that the signal cannot come too late.
    search = command(tiny_file, workdir, "--config.num_children=3000")
    with started(search, until=lambda: children(workdir) >= 3, limit=LIMIT) as process:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == EXIT_CODE
        assert "The run was ended by SIGTERM. The same command resumes it." in output
    assert not json.loads((workdir / "summary.json").read_text(encoding="utf-8"))["finished"]
    done = history_rows(workdir)
    assert len(done) >= 3
    # The re-ranking comes after the search.
    undisturbed = [
        row | {"rerank_reward": "", "rerank_accuracy": ""} for row in history_rows(finished)
    ]
    assert done[: len(undisturbed)] == undisturbed[: len(done)]


@pytest.mark.timeout(120)
def test_a_signal_while_compiling_is_answered_at_once(tiny_file: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    search = ["env", "JAX_ENABLE_COMPILATION_CACHE=false", *command(tiny_file, workdir)]
    with started(search, until=(workdir / "config.json").exists, limit=60) as process:
        time.sleep(2)  # It compiles for longer.
        told = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == EXIT_CODE, output[-3000:]
    assert time.monotonic() - told < 5
    assert output.endswith("The run was ended by SIGINT. The same command resumes it.\n")
    left = {path.name for path in workdir.rglob("*") if path.is_file()}
    assert left == {"config.json", "data.json", "run.lock"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config=configs/nothing_like_this.py"], "nothing_like_this"),
        (["--config.child.learning_rat=1"], "learning_rat"),
        (["--config.dataset.name=folder:nowhere"], "nowhere"),
        (["--config.mesh.arch=3"], "mesh.arch=3 times mesh.data=1"),
    ],
)
def test_bad_command_says_what_is_wrong(
    tiny_file: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    workdir = tmp_path / "run"
    result = subprocess.run(
        command(tiny_file, workdir, *flags),
        timeout=LIMIT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode not in (0, EXIT_CODE)
    assert message in result.stderr
    assert not workdir.exists()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_children_learn_from_prepared_cifar10(
    tiny_config: ml_collections.ConfigDict, shared_data_dir: Path
) -> None:
    dataset = load_arrays("cifar10", data_dir=shared_data_dir)
    assert dataset.image_shape == (32, 32, 3) and dataset.num_classes == 10
    trainer = ChildTrainer(tiny_config, dataset, search_mesh(-1, 1))
    architectures = [sample_architecture(np.random.default_rng(seed), 2) for seed in range(4)]
    results = trainer.train(architectures, epochs=1)
    assert not any(result.diverged for result in results)
    assert max(result.reward for result in results) > 0.2  # Ten classes.
