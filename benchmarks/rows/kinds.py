"""Each kind of layer with its gradient, s of them at once with weights of their own, in several forms.

Grouped is what the tape of chunks does: `vmap` over the calls, of which XLA makes grouped convolutions.
Single is one layer after the other. Shifted is `vmap` over sums of shifted products.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from options import Options
from processes import Worker, attempt, ours, start_each
from results import Row, row
from rows.operations import stage_shape

FORMS = ("grouped", "single", "shifted")
CALLS = (16, 1, 8, 32)
"""s, most important first."""

TIMES = 30
"""Rounds of the loop in a measurement."""

ENOUGH = 0.2
"""Of the time that one call takes alone, at most so much should each of 16 at once."""


def measure(options: Options) -> Iterator[Row]:
    means: dict[tuple[str, int], float] = {}
    for together in ((2, 1),) if options.quick else (CALLS[:2], CALLS[2:]):
        # One by one is the same for one.
        cases = [(form, s) for s in together for form in FORMS if s > 1 or form != "single"]
        for (form, s), found in at_once(options, cases):
            means[form, s] = geometric_mean(found)
            yield row(
                f"a layer with its gradient, s={s}, {form}",
                "us",
                means[form, s] * 1e6,
                details={name: seconds * 1e6 for name, seconds in found.items()},
            )
        for form, s in cases:
            alone = means.get(("grouped" if form == "single" else form, 1))
            if s > 1 and alone is not None and (form, s) in means:
                yield row(
                    f"a layer with its gradient, s={s}, {form}, as a share of one alone",
                    "x",
                    means[form, s] / alone,
                    against="s=1",
                    most=ENOUGH if s == CALLS[0] else None,
                )


def at_once(
    options: Options, cases: Sequence[tuple[str, int]]
) -> Iterator[tuple[tuple[str, int], dict[str, float]]]:
    """Forms and numbers of calls with the seconds of a call by kind; compiled at the same time."""
    settings = options.settings(
        shape=(4, 4, 4, 4) if options.quick else stage_shape(0),
        times=2 if options.quick or options.platform == "cpu" else TIMES,
        **options.core(0),
    )
    each = [{**settings, "form": form, "calls": s} for form, s in cases]
    workers = start_each(ours(), "ours.kinds", each)
    with contextlib.ExitStack() as stack:
        for worker in filter(None, workers):
            stack.callback(worker.close)
        for case, worker in zip(cases, workers, strict=True):
            if worker is not None:
                found = attempt(lambda worker=worker: of_all_kinds(worker), str(case))
                if found is not None:
                    yield case, {name: seconds / case[1] for name, seconds in found.items()}


def of_all_kinds(worker: Worker) -> dict[str, float]:
    """Seconds of a chunk of each kind."""
    return {
        name: median(worker.ask({"kind": kind, "times": 3})["seconds"])
        for kind, name in enumerate(worker.facts["kinds"])
    }


def geometric_mean(seconds: dict[str, float]) -> float:
    """Of all kinds, so that none of them counts for more because it is slow."""
    return float(np.exp(np.mean(np.log(list(seconds.values())))))
