"""Reading what a search left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nasnet_jax.report.run import STATUSES, load_runs
from nasnet_jax.search.history import COLUMNS, Status


def test_columns_become_arrays(make_workdir: Callable[..., Path]) -> None:
    (run,) = load_runs([make_workdir(60)])
    assert len(run) == 60 and run.strategy == "ppo" and run.num_decisions == 50
    assert run.reward[3] == 0.0 and STATUSES[run.status[3]] == "diverged"
    assert STATUSES[run.status[4]] == "reused" and run.architectures[4] == run.architectures[0]
    assert (~np.isnan(run.rerank_reward)).sum() == 5
    assert run.best == int(np.nanargmax(run.rerank_reward))
    assert run.architecture(7).one_line() == run.architectures[7]
    assert run.log_prob[0] == -80


def test_the_search_writes_what_is_read(make_workdir: Callable[..., Path]) -> None:
    header = (make_workdir(60) / "history.csv").read_text(encoding="utf-8").splitlines()[0]
    assert set(header.split(",")) <= set(COLUMNS)
    assert STATUSES == tuple(status.name.lower() for status in sorted(Status))


def test_what_is_no_workdir_is_refused(tmp_path: Path, make_workdir: Callable[..., Path]) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no workdir of a search.*history\.csv"):
        load_runs([tmp_path])
    lines = (make_workdir(60) / "history.csv").read_text(encoding="utf-8").splitlines()
    history = tmp_path / "history.csv"
    for content, message in (
        (lines[0], "no children yet"),
        ("a,b\n1,2", "not what a search writes"),
        (lines[0] + "\n" + lines[1].replace("trained", "eaten"), "not what a search writes"),
        (lines[0] + "\n" + lines[1].replace("0,0,", "0,x,"), "not what a search writes"),
    ):
        history.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            load_runs([tmp_path])


def test_workdirs_are_named_and_different(make_workdir: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="at least one search"):
        load_runs([])
    folder = make_workdir(60)
    with pytest.raises(ValueError, match="named twice"):
        load_runs([folder, folder])
