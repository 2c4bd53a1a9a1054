"""Searches: `python -m nasnet_jax.search --config=configs/quickstart.py --workdir=DIR`."""

from __future__ import annotations

import contextlib
import os

from absl import app, flags
from ml_collections import config_flags

from nasnet_jax import command
from nasnet_jax.command_line import config_value

_CONFIG = config_flags.DEFINE_config_file("config", None, "File of the experiment.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; resumed if it has begun.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: list[str]) -> None:
    """Parses the command line and runs the search."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from nasnet_jax.starting import Start

    start = Start()
    from nasnet_jax.platform import use_every_core

    use_every_core()
    from nasnet_jax import distributed
    from nasnet_jax.workdir import absolute_workdir

    config = config_value(_CONFIG)
    workdir = str(absolute_workdir(str(_WORKDIR.value)))
    if distributed.initialize():
        start.join_pod()
    import jax

    from nasnet_jax.progress import SearchProgress
    from nasnet_jax.report.run import load_runs
    from nasnet_jax.report.terminal import ProgressLine, best_text, summary_text
    from nasnet_jax.report.text import architecture_text
    from nasnet_jax.run_files import BEST_FILE
    from nasnet_jax.search.loop import run
    from nasnet_jax.space import Architecture

    line = ProgressLine()

    def on_progress(progress: SearchProgress) -> None:
        if jax.process_index() > 0:
            return
        best = "-" if progress.best_reward is None else f"{progress.best_reward:.4f}"
        line.show(
            f"{progress.phase}: {progress.share:6.1%}, {progress.children} children, "
            f"best reward {best}, {(progress.seconds_left or 0) / 60:.1f} min left"
        )

    with contextlib.closing(line):
        summary = run(config, workdir, on_progress=on_progress, on_begin=start.end)
    if jax.process_index() > 0:
        return
    best = Architecture.load(os.path.join(workdir, BEST_FILE))
    print(f"\n{best_text(load_runs([workdir])[0])}\n\n{architecture_text(best)}\n")
    print(f"{summary_text(summary)}\n\nEverything is in {workdir}")


if __name__ == "__main__":
    command.run(main)
