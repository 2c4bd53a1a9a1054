"""Compares imported networks with the peers' own: `python benchmarks/parity/compare.py`.

Every peer gets a virtual environment, fills its network with made-up weights (`made_up.py`), saves
it in its own format, and writes its logits. We import each file with the command that users run, and
compare our logits with the peer's, and the peer's with the golden files that the tests use.
`--update_goldens` writes those instead. About half an hour on two cores, most of it for Large.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import made_up
import numpy as np
from absl import app, flags
from environment import environment_python

from nasnet_jax import command
from nasnet_jax.paths import local_path

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GOLDENS = ROOT / "tests" / "inference" / "published" / "goldens"
TOLERANCE = 1e-4
"""Largest difference of two logits, as a share of the largest logit."""

PEERS = {
    "keras_mobile": ("keras", (".h5", ".weights.h5", "_no_top.h5")),
    "keras_large": ("keras", (".h5", ".weights.h5", "_no_top.h5")),
    "cadene_mobile": ("torch", (".pth", ".safetensors")),
    "cadene_large": ("torch", (".pth", ".safetensors")),
    "timm_large": ("torch", (".pth", ".safetensors")),
}
"""Each peer's environment, and the endings of the files that it writes."""

_FOLDER = flags.DEFINE_string(
    "folder", str(ROOT / ".cache" / "parity"), "Where environments and weights go; about 10 GB."
)
_PEERS = flags.DEFINE_list("peers", list(PEERS), "Which peers to compare with.")
_UPDATE_GOLDENS = flags.DEFINE_bool("update_goldens", False, "Write the golden files.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    unknown = [peer for peer in _PEERS.value if peer not in PEERS]
    if unknown:
        raise app.UsageError(f"There is no peer {unknown[0]!r}; there are {', '.join(PEERS)}.")
    folder = local_path(_FOLDER.value).absolute()
    rows = [row for peer in _PEERS.value for row in compare(peer, folder)]
    (folder / "parity.json").write_text(json.dumps(rows, indent=2) + "\n")
    print(f"\n{'peer':<14} {'compared':<26} {'size':>5} {'difference':>11}")
    for row in rows:
        print(f"{row['peer']:<14} {row['compared']:<26} {row['size']:>5} {row['difference']:11.1e}")
    if any(row["difference"] > TOLERANCE for row in rows):
        sys.exit(f"Error: a difference is above {TOLERANCE}.")


def compare(peer: str, folder: pathlib.Path) -> list[dict[str, str | int | float]]:
    """Lets a peer write its files, and compares all of them with it at every image size."""
    environment, endings = PEERS[peer]
    source, network = peer.split("_")
    python = environment_python(folder / environment, HERE / f"requirements-{environment}.txt")
    files = folder / "files"
    files.mkdir(exist_ok=True)
    name = network if environment == "keras" else peer
    subprocess.run([python, HERE / f"{environment}_peer.py", files, name], check=True)
    theirs = dict(np.load(files / f"{peer}.npz"))
    if _UPDATE_GOLDENS.value:
        np.savez(GOLDENS / f"{peer}.npz", **theirs)
    goldens = np.load(GOLDENS / f"{peer}.npz")
    rows: list[dict[str, str | int | float]] = []
    for size, logits in theirs.items():
        difference = relative_difference(goldens[size], logits)
        row = {"peer": peer, "compared": "golden file", "size": int(size), "difference": difference}
        rows.append(row)
    for ending in endings:
        file, model = files / f"{peer}{ending}", files / f"{peer}_model"
        # Reading .pth needs PyTorch, which is where the peer is.
        reader = python if ending == ".pth" else sys.executable
        import_file(reader, source, file, model)
        for size, logits in logits_of(model, file, made_up.SIZES[network]).items():
            difference = relative_difference(logits, theirs[str(size)])
            row = {"peer": peer, "compared": file.name, "size": size, "difference": difference}
            rows.append(row)
    return rows


def import_file(python: str, source: str, file: pathlib.Path, model: pathlib.Path) -> None:
    """Runs the command that users run."""
    command = [python, "-m", "nasnet_jax.import_weights"]
    arguments = [f"--source={source}", f"--weights={file}", f"--output={model}"]
    subprocess.run([*command, *arguments], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def logits_of(
    model: pathlib.Path, file: pathlib.Path, sizes: tuple[int, ...]
) -> dict[int, np.ndarray]:
    """What the imported network makes of the made-up image of each size.

    Without a classifier, the made-up one is applied, so that there are logits to compare.
    """
    import nasnet_jax

    network = nasnet_jax.load(model).network
    outputs = {size: np.asarray(network(made_up.images(size))) for size in sizes}
    if not file.stem.endswith("_no_top"):
        return outputs
    (features,) = {output.shape[-1] for output in outputs.values()}
    kernel = made_up.tensor("predictions/kernel", (features, 1000))
    bias = made_up.tensor("predictions/bias", (1000,))
    return {size: output @ kernel + bias for size, output in outputs.items()}


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


if __name__ == "__main__":
    command.run(main)
