"""Does a searched cell transfer? `python benchmarks/transfer/measure.py`, or `make transfer`.

The winner of the quickstart's search (`quickstart_winner.json`) and NASNet-A are trained by
`nasnet_jax.train` on three data sets, without DropPath, with the released code's final probability of
dropping a path, and with 0.7, from several seeds. Every training that has finished is kept in
`results.json`, and a second start goes on after it; the table in `README.md` is made of that file.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
from typing import Any

import ml_collections
from absl import app, flags

from nasnet_jax.paths import local_path
from nasnet_jax.space.serialization import write_atomically
from nasnet_jax.train.config import default_config
from nasnet_jax.train.loop import run

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RESULTS = HERE / "results.json"
TABLE = HERE / "README.md"

ARCHITECTURES = {
    "quickstart": str(HERE / "quickstart_winner.json"),
    "NASNet-A": "nasnet_a",
}
DATASETS = ("digits", "cifar10", "imagenette")
RELEASED_DROP = {"digits": 0.4, "cifar10": 0.4, "imagenette": 0.3}
"""1 - `drop_path_keep_prob` of the released code: that of its CIFAR network, and of Large."""
LARGEST_DROP = 0.7
"""Often told of ScheduledDropPath: the code's probability of keeping, read as one of dropping."""

_FOLDER = flags.DEFINE_string(
    "folder", str(ROOT / ".cache" / "transfer"), "Where trainings and compilations go."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    os.environ.get("NASNET_JAX_DATA_DIR", str(ROOT.parent / "shared" / "data")),
    "Folder of TFDS's prepared data sets.",
)
_SEEDS = flags.DEFINE_integer("seeds", 2, "Trainings of each kind.")


def training_config(dataset: str, architecture: str, drop: float, seed: int) -> Any:
    """A training of a minute on one core."""
    config: ml_collections.ConfigDict = default_config()
    config.seed = seed
    config.architecture = ARCHITECTURES[architecture]
    config.batch_size = 64
    config.aux_weight = 0.0
    config.log_steps = 20
    config.best_checkpoints_to_keep = 0
    config.model.num_cells = 1
    config.model.num_filters = 4
    config.drop_path.final_drop_prob = drop
    config.optimizer.learning_rate = 0.05
    if dataset == "digits":
        config.epochs = 12.0
        config.dataset.name = "digits"
        config.dataset.image_size = 8
        config.dataset.channels = 1
        config.augment.crop_padding = 1
        config.augment.flip = False
    elif dataset == "cifar10":
        config.epochs = 2.0
        config.dataset.image_size = 16
        config.augment.crop_padding = 2
    else:
        config.epochs = 12.0
        config.dataset.name = "imagenette/160px-v2"
        config.dataset.image_size = 16
        config.augment.crop_padding = 2
    config.checkpoint_epochs = config.epochs
    if dataset != "digits":
        config.dataset.data_dir = _DATA_DIR.value
    return config


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    # A seed at a time, so that an early end leaves a whole table with fewer seeds.
    for seed in range(_SEEDS.value):
        for dataset in DATASETS:
            for architecture in ARCHITECTURES:
                for drop in (0.0, RELEASED_DROP[dataset], LARGEST_DROP):
                    name = f"{dataset}/{architecture}/drop {drop}/seed {seed}"
                    if name in found:
                        continue
                    config = training_config(dataset, architecture, drop, seed)
                    folder = local_path(_FOLDER.value) / name.replace("/", "_").replace(" ", "_")
                    summary = run(config, folder)
                    found[name] = {
                        "dataset": dataset,
                        "architecture": architecture,
                        "final_drop_prob": drop,
                        "seed": seed,
                        "test_accuracy": summary["test_accuracy"],
                        "test_count": summary["test_count"],
                        "train_loss": summary["train_loss"],
                        "steps": summary["steps"],
                        "params": summary["params"],
                        "seconds": summary["seconds"],
                    }
                    write_atomically(RESULTS, json.dumps(found, indent=2) + "\n")
                    write_atomically(TABLE, report(list(found.values())))
                    print(f"{name}: {summary['test_accuracy']:.4f}", flush=True)


def report(results: list[dict[str, Any]]) -> str:
    """The page with the table, of all that has been measured."""
    lines = [
        "# Transfer in the small",
        "",
        "Made by `make transfer`; every number is of this script. "
        + (__doc__ or "").split("\n\n")[1].replace("\n", " ").split(" Every training")[0],
        "",
        "N=1, F=4, batches of 64, learning rate 0.05 for 32 examples with a cosine to 0; the number",
        "of steps is in the table. CIFAR-10 and Imagenette are small parts of those sets, at 16x16",
        "pixels: the accuracies compare with each other and with nothing published. Test accuracy:",
        "mean over the seeds, and the sample standard deviation behind ±.",
        "",
        "| data | cell | parameters | steps | final drop | seeds | test accuracy | training loss |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    kinds: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for result in results:
        kind = (result["dataset"], result["architecture"], result["final_drop_prob"])
        kinds.setdefault(kind, []).append(result)
    for (dataset, architecture, drop), same in kinds.items():
        accuracies = [result["test_accuracy"] for result in same]
        spread = f" ± {statistics.stdev(accuracies):.3f}" if len(same) > 1 else ""
        loss = statistics.mean(result["train_loss"] for result in same)
        lines.append(
            f"| {dataset} | {architecture} | {same[0]['params']:,} | {same[0]['steps']} | {drop} | "
            f"{len(same)} | {statistics.mean(accuracies):.3f}{spread} | {loss:.3f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    app.run(main)
