"""Measures speed: `python benchmarks/run.py [NAME ...]`, or `make bench` and `make bench BENCH=NAME`.

Each benchmark is a file of `rows/`. It prints what it found and keeps it as JSON, of which
`table.py` makes the table in README.md. On a machine with an accelerator the same command measures
that, and keeps the results apart.
"""

from __future__ import annotations

import importlib
import os
import pathlib

import processes
import results
import table
from absl import app, flags, logging
from options import Options
from sizes import SIZES, USUAL

_PAIRS = flags.DEFINE_integer("pairs", 5, "Measurements of each side.", lower_bound=1)
_SIZES = flags.DEFINE_multi_enum(
    "size", None, list(SIZES), "Children of this size only; rows of other sizes are kept."
)
_QUICK = flags.DEFINE_bool("quick", False, "Just enough to see that it works.")
_FOLDER = flags.DEFINE_string(
    "folder", "", "For the results, instead of the one from which the table is made."
)
_LABEL = flags.DEFINE_string(
    "label", "", "Of the results, for example `before`; empty for those that the table is about."
)


def main(argv: list[str]) -> None:
    names = argv[1:] or list(table.BENCHMARKS)
    known = table.BENCHMARKS + table.OF_GPUS
    unknown = [name for name in names if name not in known]
    if unknown:
        raise app.UsageError(f"There is no benchmark {unknown[0]!r}; there are {', '.join(known)}.")
    logging.set_verbosity(logging.INFO)
    where = results.machine()
    sizes = tuple(_SIZES.value or USUAL)
    options = Options(pairs=_PAIRS.value, quick=_QUICK.value, machine=where, sizes=sizes)
    folder = results_folder(where["platform"], _LABEL.value, quick=_QUICK.value)
    for name in names:
        load, found = os.getloadavg()[0], []
        # Row by row, for a benchmark that is ended before its last one.
        for one in importlib.import_module(f"rows.{name}").measure(options):
            found.append(one)
            results.write(folder, name, found, where, load=load, replace=not _SIZES.value)
            print(f"{name}: {one.text()}", flush=True)
    if not _QUICK.value and not _FOLDER.value:
        table.write()


def results_folder(platform: str, label: str, *, quick: bool) -> pathlib.Path:
    """Where results are kept; quick ones are nothing to keep."""
    if _FOLDER.value:
        return pathlib.Path(_FOLDER.value)
    if quick:
        return processes.CACHE / "quick"
    return table.RESULTS / "_".join(part for part in (platform, label) if part)


if __name__ == "__main__":
    app.run(main)
