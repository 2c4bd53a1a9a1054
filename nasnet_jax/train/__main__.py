"""Trains: `python -m nasnet_jax.train --config=configs/digits.py --workdir=DIR`."""

from __future__ import annotations

from absl import app, flags
from ml_collections import config_flags

from nasnet_jax import command
from nasnet_jax.command_line import config_value

_CONFIG = config_flags.DEFINE_config_file("config", None, "File of the experiment.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; resumed if it has begun.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: list[str]) -> None:
    """Parses the command line and trains."""
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

    from nasnet_jax.progress import TrainProgress
    from nasnet_jax.train.loop import run

    def on_progress(progress: TrainProgress) -> None:
        if jax.process_index() > 0:
            return
        accuracy = progress.test_accuracy
        tested = "" if accuracy is None else f", test accuracy {accuracy:.4f}"
        # Nothing is known of the pace before the second step.
        pace = (
            f", {progress.images_per_second:.0f} images/s, {progress.seconds_left / 60:.1f} min left"
            if progress.seconds_left is not None
            else ""
        )
        print(
            f"step {progress.step}/{progress.steps}, epoch {progress.epoch:.1f}: "
            f"loss {progress.loss:.4f}{tested}{pace}",
            flush=True,
        )

    summary = run(config, workdir, on_progress=on_progress, on_begin=start.end)
    if jax.process_index() > 0:
        return
    print()
    for name, value in summary.items():
        print(f"{name}: {value}")
    print(f"\nEverything is in {workdir}")


if __name__ == "__main__":
    command.run(main)
