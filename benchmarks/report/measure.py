"""The report of a search of 20,000 made-up children: to write, its size, and to open in Chromium.

    python benchmarks/report/measure.py

prints a table. Nothing else should run on the machine. Opened means that every plot is drawn and the
page answers; each time is of a new browser process, whose own start is not counted.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import statistics
import tempfile
import time

import numpy as np
from absl import app, flags

from nasnet_jax.report import write_report
from nasnet_jax.search.history import Entry, History, Status
from nasnet_jax.space import Architecture, Macro, canonical_decisions, choices, cost

_CHILDREN = flags.DEFINE_integer("children", 20_000, "Children of the search.", lower_bound=20)
_TIMES = flags.DEFINE_integer("times", 5, "How often it is opened.", lower_bound=1)

BATCH = 20
NAMES = ("chromium", "chromium-browser", "google-chrome")


def make_up(children: int, workdir: pathlib.Path) -> None:
    """Writes a history whose rewards rise, of architectures that are all drawn alike."""
    rng = np.random.default_rng(0)
    alternatives = choices()
    macro = Macro(num_cells=2, num_filters=32, num_classes=10, image_size=32, uniform_inputs=True)
    rows = canonical_decisions(
        rng.integers(0, alternatives, (children, len(alternatives))).astype(np.int32)
    )
    history = History(len(alternatives))
    for index, row in enumerate(rows):
        counted = cost(Architecture.from_decisions(row), macro)
        reward = 0.7 + 0.2 * index / children + rng.normal(0, 0.03)
        history.append(
            Entry(
                batch=index // BATCH,
                decisions=row,
                reward=reward,
                status=Status.TRAINED,
                params=counted.params,
                macs=counted.macs,
                seconds=30.0,
                log_prob=-84 + 50 * index / children,
                accuracy=reward,
                epochs=20,
                first_reward=reward,
            )
        )
    history.write_csv(workdir / "history.csv")


def seconds_to_open(report: pathlib.Path, browser: str) -> float:
    """Opens the report in a browser of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root, which one is in a container.
        launched = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = launched.new_page()
        started = time.perf_counter()
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        page.evaluate("new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)))")
        seconds = time.perf_counter() - started
        launched.close()
    return seconds


def main(argv: list[str]) -> None:
    """Measures and prints."""
    del argv
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        raise app.UsageError(f"None of {', '.join(NAMES)} is installed.")
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder)
        make_up(_CHILDREN.value, workdir)
        started = time.perf_counter()
        report = write_report(workdir)
        first = time.perf_counter() - started
        started = time.perf_counter()
        write_report(workdir)
        again = time.perf_counter() - started
        opened = [seconds_to_open(report, browser) for _ in range(_TIMES.value)]
        print(f"{_CHILDREN.value:,} children, {os.cpu_count()} cores, {browser}")
        print(f"size         {report.stat().st_size / 1e6:.1f} MB")
        print(f"written in   {first:.1f} s; again, as a running search does, {again:.1f} s")
        print(
            f"opened in    {statistics.median(opened):.1f} s, median of {len(opened)} "
            f"({min(opened):.1f} to {max(opened):.1f} s)"
        )


if __name__ == "__main__":
    app.run(main)
