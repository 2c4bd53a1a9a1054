"""Each kind of layer with its gradient, s of them at once with weights of their own, in several forms.

Grouped is what the tape of chunks does: `vmap` over the calls, of which XLA makes grouped convolutions.
Single is one layer after the other. Shifted is `vmap` over sums of shifted products.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
from options import Options
from processes import ours, start_all
from results import Row, row
from rows.operations import stage_shape

FORMS = ("grouped", "single", "shifted")
CALLS = (16, 1, 8, 32)
"""s, most important first."""

ENOUGH = 0.2
"""Of the time that one call takes alone, at most so much should each of 16 at once."""


def measure(options: Options) -> Iterator[Row]:
    means: dict[tuple[str, int], float] = {}
    for calls in (2, 1) if options.quick else CALLS:
        # One by one is the same for one.
        forms = [form for form in FORMS if calls > 1 or form != "single"]
        for form, found in zip(forms, at_once(options, calls, forms), strict=True):
            means[form, calls] = geometric_mean(found)
            yield row(
                f"a layer with its gradient, s={calls}, {form}",
                "us",
                means[form, calls] * 1e6,
                details={name: seconds * 1e6 for name, seconds in found.items()},
            )
    for calls in (2,) if options.quick else (16, 32):
        for form in FORMS:
            alone = means["grouped" if form == "single" else form, 1]
            yield row(
                f"a layer with its gradient, s={calls}, {form}, as a share of one alone",
                "x",
                means[form, calls] / alone,
                against="s=1",
                most=ENOUGH,
            )


def at_once(options: Options, calls: int, forms: Sequence[str]) -> list[dict[str, float]]:
    """Seconds of a call by kind, for each form; they are compiled at the same time."""
    settings = options.settings(
        shape=(4, 4, 4, 4) if options.quick else stage_shape(0),
        times=2 if options.quick or options.platform == "cpu" else 100,
        calls=calls,
        **options.core(0),
    )
    with contextlib.ExitStack() as stack:
        workers = start_all(ours(), "ours.kinds", [{**settings, "form": form} for form in forms])
        for worker in workers:
            stack.callback(worker.close)
        return [
            {
                name: float(np.median(worker.ask({"kind": kind, "times": 3})["seconds"])) / calls
                for kind, name in enumerate(worker.facts["kinds"])
            }
            for worker in workers
        ]


def geometric_mean(seconds: dict[str, float]) -> float:
    """Of all kinds, so that none of them counts for more because it is slow."""
    return float(np.exp(np.mean(np.log(list(seconds.values())))))
