"""Compares what export writes: `python benchmarks/formats/measure.py`, or `make formats`.

NASNet-A Mobile with random weights, or the model of `--checkpoint`, is written in every format, and run
in the runtime of that format on the same random images, in processes that take turns. The table says
how equal the logits are, how large the files are and how many images a second are classified.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from absl import app, flags

from nasnet_jax import command
from nasnet_jax.paths import local_path

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent), str(ROOT / "tests" / "helpers")]

from parity.environment import environment_python  # noqa: E402

BATCHES = (1, 16)
SIZE = 224
ROUNDS = 3
"""Of which the median counts."""
SECONDS = 1.0
"""That a round takes at least."""

_FOLDER = flags.DEFINE_string(
    "folder",
    str(ROOT / ".cache" / "formats"),
    "Environment of the runtimes, made if need be; 2 GB.",
)


_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Of another model than Mobile.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    with tempfile.TemporaryDirectory() as folder:
        python = environment_python(local_path(_FOLDER.value).absolute(), HERE / "requirements.txt")
        model = pathlib.Path(folder, "mobile")
        if _CHECKPOINT.value is None:
            save_mobile(model)
        else:
            model = local_path(_CHECKPOINT.value).absolute()
        compare(model, pathlib.Path(folder), python)


def compare(model: pathlib.Path, folder: pathlib.Path, python: str) -> None:
    """Writes a model in all formats into a folder, runs them and prints the table."""
    from nasnet_jax.inference import find_model, read_description

    preprocessing = read_description(model).preprocessing
    shape = (max(BATCHES), *preprocessing.image_size, preprocessing.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.savez(folder / "images.npz", images=images)
    kinds = {"ours": sys.executable, "stablehlo": sys.executable}
    kinds |= dict.fromkeys(("pytorch", "onnx", "tflite"), python)
    for kind in kinds:
        if kind != "ours":
            export(python if kind == "onnx" else sys.executable, kind, model, folder / kind)
    rates = {(kind, batch): [] for kind in kinds for batch in BATCHES}
    logits = {}
    for _ in range(ROUNDS):
        for kind, interpreter in kinds.items():
            path = model if kind == "ours" else folder / kind
            words = [interpreter, "-W", "ignore", __file__, "--worker", kind, str(path)]
            output = folder / f"{kind}.npz"
            subprocess.run(
                [*words, str(folder / "images.npz"), str(output)], check=True, env=environment()
            )
            found = np.load(output)
            logits[kind] = found["logits"]
            for batch in BATCHES:
                rates[kind, batch].append(float(found[f"rate_{batch}"]))
    print(
        "\n| format | largest difference | MB | "
        + " | ".join(f"{b} at a time" for b in BATCHES)
        + " |"
    )
    print("| --- |" + " ---: |" * (2 + len(BATCHES)))
    for kind in kinds:
        difference = np.abs(logits[kind] - logits["ours"]).max() / np.abs(logits["ours"]).max()
        path = find_model(model) if kind == "ours" else folder / kind
        cells = [f"{difference:.0e}", f"{megabytes(pathlib.Path(path)):.2f}"]
        cells += [f"{np.median(rates[kind, batch]):.1f}" for batch in BATCHES]
        print(f"| {kind} | {' | '.join(cells)} |")
    print(
        f"\nImages a second on one core; the machine's load was {os.getloadavg()[0]:.1f} at the end."
    )


def save_mobile(folder: pathlib.Path) -> None:
    """NASNet-A Mobile as it is before training."""
    from flax import nnx

    from nasnet_jax.inference import ModelDescription, Preprocessing, save_model
    from nasnet_jax.inference.published.networks import NETWORKS, NORM_EPSILON
    from nasnet_jax.nn.nasnet import NASNet
    from nasnet_jax.space import NASNET_A

    description = ModelDescription(
        architecture=NASNET_A,
        macro=dataclasses.replace(NETWORKS["mobile"], num_classes=1000),
        preprocessing=Preprocessing.imagenet((SIZE, SIZE)),
        layers={"norm_epsilon": NORM_EPSILON},
    )
    config = description.layer_config()
    network = NASNet(NASNET_A, description.macro, config=config, rngs=nnx.Rngs(0))
    save_model(
        folder, description, nnx.state(network, nnx.Param), nnx.state(network, nnx.BatchStat)
    )


def export(python: str, kind: str, model: pathlib.Path, output: pathlib.Path) -> None:
    """Runs the command that users run."""
    words = [python, "-W", "ignore", "-m", "nasnet_jax.export", f"--format={kind}"]
    subprocess.run(
        [*words, f"--checkpoint={model}", f"--output={output}"],
        check=True,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"}


def megabytes(path: pathlib.Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def work(kind: str, path: str, given: str, output: str) -> None:
    """Runs one artefact on one core: writes its logits, and images a second by batch.

    With several, a runtime whose threads wait for each other would be measured by what else runs.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    images = np.load(given)["images"]
    run = runner(kind, path)
    results = {"logits": run(images)}
    for batch in BATCHES:
        part = images[:batch]
        run(part)
        calls, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < SECONDS:
            run(part)
            calls += 1
        results[f"rate_{batch}"] = np.float64(calls * batch / passed)
    np.savez(output, **results)


def runner(kind: str, path: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 images to logits."""
    if kind == "ours":
        import nasnet_jax

        model = nasnet_jax.load(path, fold=True)
        return lambda images: model.predict(images).logits
    if kind == "stablehlo":
        import jax
        import jax.export

        file = pathlib.Path(path).read_bytes()
        network = jax.jit(jax.export.deserialize(bytearray(file)).call)
        return lambda images: np.asarray(network(images))
    import runtimes

    return getattr(runtimes, kind)(path)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(*sys.argv[2:])
    else:
        command.run(main)
