"""What a long command shows in a terminal: one line that changes, and the best at the end."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from nasnet_jax.report.run import STATUSES, Run

PLAIN_SECONDS = 5.0
"""Between two lines where the output is no terminal."""


class ProgressLine:
    """One line that is written over in a terminal; lines now and then in a file or a pipe."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._live = self._stream.isatty()
        self._last = -PLAIN_SECONDS
        self._open = False

    def show(self, text: str, *, final: bool = False) -> None:
        """Shows the newest state.

        Args:
            text: One line.
            final: Whether it stays: always printed, with a new line behind it.
        """
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            # To the start of the line, and away with what was longer.
            self._stream.write(f"\r{text[:width]}\x1b[K" + ("\n" if final else ""))
            self._open = not final
        elif final or time.monotonic() - self._last >= PLAIN_SECONDS:
            self._stream.write(text + "\n")
            self._last = time.monotonic()
        self._stream.flush()

    def close(self) -> None:
        """Leaves the last state standing and begins a new line, if one is open."""
        if self._open:
            self._stream.write("\n")
            self._stream.flush()
            self._open = False


def best_text(run: Run, count: int = 5) -> str:
    """Returns a table of the best children, repeats left out, as lines without a newline at the end.

    Those that were trained for longer come first, by that reward.
    """
    distinct = np.flatnonzero(run.status != STATUSES.index("reused"))
    reranked = np.nan_to_num(run.rerank_reward, nan=-np.inf)
    order = distinct[
        np.lexsort((distinct, -run.reward[distinct], ~run.is_whole[distinct], -reranked[distinct]))
    ][:count]
    rows = [("child", "reward", "re-ranked", "parameters", "multiply-adds")]
    for child in order:
        rerank = run.rerank_reward[child]
        rows.append(
            (
                f"{child:,}",
                f"{run.reward[child]:.4f}",
                "-" if np.isnan(rerank) else f"{rerank:.4f}",
                f"{run.params[child]:,}",
                f"{run.macs[child]:,}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{word:>{width}}" for word, width in zip(row, widths, strict=True))
        for row in rows
    )


def summary_text(summary: Mapping[str, Any]) -> str:
    """Returns what is in `summary.json`, a line each, with numbers as people read them."""
    return "\n".join(f"{name}: {_shown(value)}" for name, value in summary.items())


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 1 else f"{value:,.1f}"
    return str(value)
