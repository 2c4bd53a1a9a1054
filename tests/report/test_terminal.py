"""SearchProgress and results in a terminal, and where the output is none."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nasnet_jax.report import terminal
from nasnet_jax.report.run import load_runs
from nasnet_jax.report.terminal import ProgressLine, best_text, summary_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line() -> None:
    stream = Terminal()
    line = ProgressLine(stream)
    line.show("search: 10 %")
    line.show("search: 20 %")
    assert "\n" not in stream.getvalue() and stream.getvalue().count("\r") == 2
    line.close()
    line.close()
    assert stream.getvalue().endswith("20 %\x1b[K\n")
    line.show("done", final=True)
    line.close()
    assert stream.getvalue().count("\n") == 2


def test_a_long_text_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    ProgressLine(stream).show("x" * 50)
    assert stream.getvalue().count("x") == 19


def test_a_pipe_gets_a_plain_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    stream = io.StringIO()
    line = ProgressLine(stream)
    for now in (0.0, 1.0, 4.9, 5.0, 6.0):
        line.show(f"at {now}")
    line.show("end", final=True)
    line.close()
    assert stream.getvalue() == "at 0.0\nat 5.0\nend\n"


def test_the_best_are_listed_by_their_longer_training(make_workdir: Callable[..., Path]) -> None:
    (run,) = load_runs([make_workdir(60)])
    lines = best_text(run, 7).splitlines()
    assert len(lines) == 8 and len(set(map(len, lines))) == 1
    children = [int(line.split()[0]) for line in lines[1:]]
    assert children[0] == run.best and 4 not in children
    assert set(children[:5]) == set(np.flatnonzero(~np.isnan(run.rerank_reward)))
    assert lines[6].split()[2] == "-"


def test_summary_has_numbers_as_people_read_them() -> None:
    summary = {"children": 20000, "children_per_hour": 2185.6577, "idle_share": 0.03111}
    summary |= {"seconds": {"data": 2.35, "compile": 36.61}, "finished": True, "none": None}
    assert summary_text(summary).splitlines() == [
        "children: 20000",
        "children_per_hour: 2,185.7",
        "idle_share: 0.0311",
        "seconds: data 2.4, compile 36.6",
        "finished: True",
        "none: None",
    ]
