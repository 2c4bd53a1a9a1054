"""Worker: NASNet-A on ImageNet's sizes, inference with folded normalization, or training steps."""

from __future__ import annotations

import importlib
import resource
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx
from worker import Run, serve

from nasnet_jax.inference import fold_batch_norm
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import NASNET_A
from nasnet_jax.train.config import config_macro, layer_config


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    config = importlib.import_module(f"configs.imagenet_{settings['network']}").get_config()
    config.dtype = "float32"
    size = config.dataset.image_size
    if settings["mode"] == "inference":
        call = inference(config)
    else:
        call = training(config, settings)
    batches = {
        batch: np.random.default_rng(0).uniform(-1, 1, (batch, size, size, 3)).astype(np.float32)
        for batch in settings["batches"]
    }
    for images in batches.values():
        call(images)

    def run(message: dict[str, Any]) -> dict[str, Any]:
        for _ in range(message["times"]):
            call(batches[message["batch"]])
        return {"peak_bytes": peak_bytes()}

    return run, {"device": str(jax.devices()[0])}


def inference(config: Any) -> Callable[[np.ndarray], object]:
    """Logits as `nasnet_jax.load(..., fold=True)` computes them, of prepared images."""
    macro, layers = config_macro(config), layer_config(config)

    def build() -> NASNet:
        # A generator that is quick to compile.
        rngs = nnx.Rngs(jax.random.key(0, impl="rbg"))
        return NASNet(NASNET_A, macro, config=layers, rngs=rngs)

    graph = nnx.graphdef(nnx.eval_shape(build))
    network = nnx.merge(graph, jax.jit(lambda: nnx.state(build()))())
    network.eval()
    graph, state = nnx.split(fold_batch_norm(network))
    logits = jax.jit(lambda state, images: nnx.merge(graph, state)(images))
    return lambda images: np.asarray(logits(state, images))


def training(config: Any, settings: dict[str, Any]) -> Callable[[np.ndarray], object]:
    """One step of a training: by its recipe, or stripped to what all peers do."""
    from jax.sharding import Mesh

    from nasnet_jax.train.program import TrainProgram

    (config.batch_size,) = settings["batches"]
    config.batch_norm.group_size = 0
    if settings["mode"] == "step":
        config.optimizer.name, config.optimizer.schedule = "momentum", "cosine"
        config.ema_decay = config.aux_weight = config.dropout_rate = 0.0
        config.max_grad_norm = config.weight_decay = config.label_smoothing = 0.0
        config.drop_path.final_drop_prob = 0.0
    mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
    program = TrainProgram(config, NASNET_A, mesh, steps_per_epoch=1000.0)
    state = program.init()
    labels = np.zeros((1, config.batch_size), np.int32)

    def step(images: np.ndarray) -> None:
        nonlocal state
        state, metrics = program.update(state, images[np.newaxis], labels, program.randomness)
        jax.block_until_ready(metrics)

    return step


def peak_bytes() -> int:
    """The most memory that was in use: of the accelerator, or of this process."""
    statistics = jax.devices()[0].memory_stats() or {}
    unit = 1 if sys.platform == "darwin" else 1024
    return statistics.get(
        "peak_bytes_in_use", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    )


if __name__ == "__main__":
    serve(prepare)
