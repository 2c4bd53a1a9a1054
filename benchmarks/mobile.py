"""NASNet-Mobile beside its peers, for inference and for training steps alike."""

from __future__ import annotations

from collections.abc import Mapping

from options import Options
from pairs import alternate
from processes import Worker, ours, peers
from results import Row, row

PEERS = {
    "Keras on JAX": ("peers.keras_mobile", {"KERAS_BACKEND": "jax"}),
    "Keras on TensorFlow": ("peers.keras_mobile", {"KERAS_BACKEND": "tensorflow"}),
    "PyTorch eager, channels-last": ("peers.torch_mobile", {}),
}


def compare(
    options: Options,
    what: str,
    *,
    mode: str,
    times: Mapping[int, int],
    least: Mapping[str, float],
) -> list[Row]:
    """Measures every peer that has a target.

    Args:
        options: Of the benchmark.
        what: For people.
        mode: `inference` or `step`.
        times: For each batch, how many calls are one measurement.
        least: The target for each peer.
    """
    settings = {
        "mode": mode,
        "network": "mobile",
        "batches": list(times),
        "platform": options.platform,
    }
    rows = []
    with Worker(ours(), "ours.mobile", settings) as worker:
        for peer, target in least.items():
            module, variables = PEERS[peer]
            if options.platform == "gpu" and variables.get("KERAS_BACKEND") == "tensorflow":
                continue  # The pinned TensorFlow has no GPU code.
            with Worker(peers(), module, settings, variables=variables) as theirs:
                for batch, number in times.items():
                    message = {"batch": batch, "times": 1 if options.quick else number}
                    found = alternate(
                        lambda _, message=message: worker.ask(message),
                        lambda _, message=message, other=theirs: other.ask(message),
                        pairs=options.pairs,
                    )
                    images = batch * message["times"]
                    rows.append(
                        row(
                            f"{what}, 224 pixels, batch {batch}",
                            "x",
                            found.ratio,
                            against=peer,
                            least=target,
                            details={
                                "our_images_per_second": [images / one for one in found.ours],
                                "their_images_per_second": [images / one for one in found.theirs],
                                "theirs": theirs.facts,
                            },
                        )
                    )
    return rows
