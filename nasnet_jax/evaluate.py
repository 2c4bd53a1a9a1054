"""Measures a trained model: `python -m nasnet_jax.evaluate --checkpoint=DIR --dataset=NAME`."""

from __future__ import annotations

import dataclasses
import json

from absl import app, flags

from nasnet_jax import command

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "A model's folder, or the workdir of a training or a search.", required=True
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "digits, folder:PATH, arrays:FILE or a name of TFDS.", required=True
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of TFDS's prepared data sets.")
_SPLIT = flags.DEFINE_string(
    "split", None, "TFDS's split, or a part of one; by default what a training tests on."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Images at a time, on all devices together.")
_JSON = flags.DEFINE_bool("json", False, "Whether to print JSON.")


def main(argv: list[str]) -> None:
    """Parses the command line, evaluates and prints."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from nasnet_jax.platform import use_every_core

    use_every_core()
    from nasnet_jax import distributed

    distributed.initialize()
    import jax

    from nasnet_jax.train.measure import evaluate

    result = evaluate(
        str(_CHECKPOINT.value),
        str(_DATASET.value),
        data_dir=_DATA_DIR.value,
        split=_SPLIT.value,
        batch_size=_BATCH_SIZE.value,
    )
    if jax.process_index() > 0:
        return
    if _JSON.value:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        print(f"top-1 {result.top1:.4f}, top-5 {result.top5:.4f}, loss {result.loss:.4f}, ", end="")
        print(f"{result.count} images")


if __name__ == "__main__":
    command.run(main)
