"""The best of a halved search beside the best of a plain one, at equal seconds and at equal epochs.

    python benchmarks/budget/halving.py --folder=runs/halving

Random search on digits with the quickstart's children. Each seed draws 80 architectures in batches of
10. The plain search trains the first four batches to the end of 4 epochs; the halved one trains all
eight, with rungs after 1 and 2 epochs and half going on, which is as many epochs. How long every batch
took is measured. At equal seconds the halved search has as many batches as end in the time of the four
plain ones. All that is trained is kept in the folder, batch by batch, so a command that was stopped goes
on, and one with more `--seeds` begins where the last one ended. The table is of the seeds that are whole.
`--small` has smaller children (2 blocks, 4 filters, no reduction cell), which take a small part of the
time, and wants a folder of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from scipy import stats

from nasnet_jax.mesh import search_mesh
from nasnet_jax.platform import use_every_core
from nasnet_jax.space import Architecture, choices

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCH, PLAIN, HALVED = 10, 4, 8
RUNGS, KEEP = (1, 2), 0.5
PARTS = [("plain", number) for number in range(PLAIN)]
PARTS += [("halved", number) for number in range(HALVED)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    cache = arguments.folder / "batches.jsonl"
    done = {tuple(key): found for key, found in read(cache)}
    wanted = [(seed, *part) for seed in range(arguments.seeds) for part in PARTS]
    left = [key for key in wanted if key not in done]
    if left:
        trainer = Trainer(small=arguments.small)
        for key in left:
            done[key] = trainer.train(*key)
            with cache.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, done[key]]) + "\n")
            print(*key, round(done[key]["seconds"], 1), max(done[key]["whole"]), flush=True)
    result = compare(done)
    (arguments.folder / "halving.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def read(cache: pathlib.Path) -> Iterator[list[Any]]:
    """The lines of the cache; the last one may have been cut short."""
    lines = cache.read_text(encoding="utf-8").splitlines(keepends=True) if cache.is_file() else []
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        cache.write_text("".join(whole), encoding="utf-8")
    yield from map(json.loads, whole)


class Trainer:
    """Trains batches, plain or halved; the program is compiled once."""

    def __init__(self, *, small: bool) -> None:
        use_every_core()
        from nasnet_jax.search.child_trainer import ChildTrainer
        from nasnet_jax.search.data import load_data

        spec = importlib.util.spec_from_file_location("quickstart", ROOT / "configs/quickstart.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = module.get_config()
        if small:
            config.num_blocks = 2
            config.child.num_filters, config.child.num_reductions = 4, 0
        self.epochs = config.child.epochs
        self.blocks = config.num_blocks
        self.trainer = ChildTrainer(config, load_data(config), search_mesh(-1, 1))
        self.trainer.compile()
        print(f"{jax.device_count()} devices of {jax.devices()[0].platform}", flush=True)

    def train(self, seed: int, kind: str, number: int) -> dict[str, Any]:
        """Accuracies of those that were trained to the end, and seconds."""
        from nasnet_jax.search.halving import train_halved

        rng = np.random.default_rng((seed, number))
        rows = rng.integers(0, choices(self.blocks), (BATCH, len(choices(self.blocks))))
        started = time.time()
        found = train_halved(
            self.trainer,
            [Architecture.from_decisions(row) for row in rows],
            epochs=self.epochs,
            rungs=RUNGS if kind == "halved" else (),
            keep=KEEP,
            on_call=lambda share, finished: None,
        )
        whole = [one.accuracy for one in found if one.epochs == self.epochs]
        return {"seconds": time.time() - started, "whole": whole}


def compare(done: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds that are whole, and the difference with its 95 % interval (Student's t)."""
    seeds = [
        seed
        for seed in sorted({key[0] for key in done})
        if all((seed, *part) in done for part in PARTS)
    ]
    plain, at_seconds, at_epochs, batches = [], [], [], []
    for seed in seeds:
        whole = [done[seed, "plain", number] for number in range(PLAIN)]
        halved = [done[seed, "halved", number] for number in range(HALVED)]
        time_left = sum(one["seconds"] for one in whole)
        ends = np.cumsum([one["seconds"] for one in halved])
        count = int((ends <= time_left).sum())
        plain.append(best(whole))
        at_seconds.append(best(halved[:count]) if count else 0.0)
        at_epochs.append(best(halved))
        batches.append(count)
    result: dict[str, Any] = {"seeds": len(seeds)}
    if len(seeds) < 2:
        return result
    result["plain"] = round(float(np.mean(plain)), 4)
    result["batches_at_equal_seconds"] = batches
    for name, found in (("at_equal_seconds", at_seconds), ("at_equal_epochs", at_epochs)):
        differences = np.subtract(found, plain)
        half = stats.sem(differences) * stats.t.ppf(0.975, len(seeds) - 1)
        mean = differences.mean()
        result[name] = {
            "halved": round(float(np.mean(found)), 4),
            "difference": round(float(mean), 4),
            "interval": [round(float(mean - half), 4), round(float(mean + half), 4)],
        }
    return result


def best(batches: list[dict[str, Any]]) -> float:
    return max(max(one["whole"]) for one in batches)


if __name__ == "__main__":
    main()
