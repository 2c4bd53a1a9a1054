"""Exported networks in their own runtimes give what ours give.

The runtimes are in an environment of their own, which `make formats` makes and names; without it these
tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import nasnet_jax
from nasnet_jax.formats import load_for, write_export
from nasnet_jax.formats.pytorch import state_dict
from nasnet_jax.inference import Model, ModelDescription, Preprocessing, save_model
from nasnet_jax.nn.borders import EDGES
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import NASNET_A, OPERATIONS, Architecture, Macro

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "tests" / "helpers" / "runtimes.py"
TOLERANCE = 1e-4

EVERYTHING = Architecture.from_one_line(
    "normal: identity(0)+conv_1x3_3x1(1) conv_1x7_7x1(0)++dilated_conv_3x3(1) "
    "avg_pool_3x3(2)+max_pool_3x3(3) max_pool_5x5(1)++max_pool_7x7(0) sep_conv_3x3(5)+conv_3x3(4); "
    "reduction: conv_1x1(0)+conv_3x3(1) sep_conv_3x3(0)++sep_conv_5x5(1) "
    "sep_conv_7x7(1)+identity(0) avg_pool_3x3(1)++conv_1x7_7x1(0) dilated_conv_3x3(0)+max_pool_7x7(1)"
)
"""All operations, both combiners, and of those that halve the most."""

CIFAR = Macro(num_cells=1, num_filters=4, num_classes=5, image_size=9, num_reductions=1)
MOBILE = Macro(
    num_cells=1,
    num_filters=8,
    num_classes=5,
    image_size=(40, 45),
    stem="imagenet",
    stem_multiplier=1.0,
    skip_reduction_layer_input=True,
)

Save = Callable[..., Path]


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter that has the runtimes and converters."""
    named = os.environ.get("NASNET_JAX_FORMATS")
    if named is None:
        pytest.skip("no runtimes of other formats (make formats installs them)")
    return named


@pytest.fixture
def save(tmp_path: Path, random_network: Callable[[ModelDescription], NASNet]) -> Save:
    """Saves a random network of an architecture and a skeleton, with the borders of a port."""

    def save(architecture: Architecture, macro: Macro, edges: str = "same") -> Path:
        description = ModelDescription(
            architecture=architecture,
            macro=macro,
            preprocessing=Preprocessing.imagenet(macro.image_height_width, macro.image_channels),
            layers={"norm_epsilon": 1e-3, "edges": edges},
        )
        states = (nnx.state(random_network(description), k) for k in (nnx.Param, nnx.BatchStat))
        save_model(tmp_path / "model", description, *states)
        return tmp_path / "model"

    return save


def run(python: str, kind: str, path: Path, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    given, output = path.with_name("given.npz"), path.with_name("output.npz")
    np.savez(given, **arrays)
    words = [python, "-W", "ignore", str(RUN), kind, str(path), str(given), str(output)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(np.load(output))


def images(number: int, size: tuple[int, int], channels: int = 3) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, *size, channels), np.uint8)


def logits(model: Path, pixels: np.ndarray) -> np.ndarray:
    """Ours, without the resizing that `predict` would do."""
    network = nasnet_jax.load(model).network
    return np.asarray(jax.jit(lambda net, x: net(x))(network, (pixels - 127.5) / 127.5))


def assert_equal(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_all_operations_are_in_the_architecture() -> None:
    cells = (EVERYTHING.normal, EVERYTHING.reduction)
    used = {op for cell in cells for block in cell.blocks for op in (block.left_op, block.right_op)}
    assert used == set(OPERATIONS)


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("architecture", [NASNET_A, EVERYTHING], ids=["nasnet_a", "everything"])
def test_pytorch_gives_our_logits(
    architecture: Architecture, edges: str, python: str, save: Save, tmp_path: Path
) -> None:
    model = save(architecture, MOBILE, edges)
    write_export(load_for("pytorch", model), tmp_path / "torch", "pytorch")
    # Sides that are even and odd where they are halved; cadene's borders ask for both.
    given = {"one": images(1, (40, 45)), "three": images(3, (57, 32))}
    found = run(python, "pytorch", tmp_path / "torch", **given)
    for name, pixels in given.items():
        assert_equal(found[name], logits(model, pixels))


@pytest.mark.parametrize(
    "macro",
    [
        CIFAR,
        Macro(
            num_cells=1,
            num_filters=5,
            num_classes=3,
            image_size=8,
            num_reductions=1,
            uniform_inputs=True,
            image_channels=1,
        ),
    ],
    ids=["published inputs", "uniform inputs"],
)
def test_pytorch_gives_our_gradients(macro: Macro, python: str, save: Save, tmp_path: Path) -> None:
    """Of a loss in training mode, by every parameter, in double precision."""
    model = save(EVERYTHING, macro)
    loaded = load_for("pytorch", model)
    write_export(loaded, tmp_path / "torch", "pytorch")
    pixels = images(4, macro.image_height_width, macro.image_channels)
    cotangent = np.random.default_rng(0).normal(size=(4, macro.num_classes or 0))
    found = run(python, "pytorch", tmp_path / "torch", images=pixels, cotangent=cotangent)

    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), loaded.network)
        wide.train()
        graph, parameters, rest = nnx.split(wide, nnx.Param, ...)

        def loss(parameters: nnx.State) -> jax.Array:
            network = nnx.merge(graph, parameters, rest, copy=True)
            scaled = (jnp.asarray(pixels, jnp.float64) - 127.5) / 127.5
            key = jax.random.key(0)
            made, _ = network.training_logits(scaled, key=key, drop_prob=0, scale_by_depth=False)
            return (jnp.tanh(made / 100) * cotangent).sum()

        gradients = jax.jit(jax.grad(loss))(parameters)
        by_name = state_dict(Model(loaded.description, nnx.merge(graph, gradients, rest)))
    largest = max(np.abs(by_name[name]).max() for name in found)
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, by_name[name], rtol=1e-4, atol=1e-6 * largest)


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
@pytest.mark.parametrize(
    ("architecture", "macro", "edges"),
    [(EVERYTHING, CIFAR, "same"), (NASNET_A, MOBILE, "keras"), (NASNET_A, MOBILE, "cadene_large")],
    ids=["everything", "keras", "cadene"],
)
def test_converted_files_give_our_logits(
    kind: str,
    architecture: Architecture,
    macro: Macro,
    edges: str,
    python: str,
    save: Save,
    tmp_path: Path,
) -> None:
    model = save(architecture, macro, edges)
    for size in (None, (48, 33)):
        file = tmp_path / f"network.{kind}"
        if kind == "onnx":
            arguments = [f"--checkpoint={model}", f"--output={file}", "--format=onnx"]
            arguments += [f"--image_size={size[0]}x{size[1]}"] if size else []
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            done = subprocess.run(
                [python, "-m", "nasnet_jax.export", *arguments],
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0 and "onnxruntime" in done.stdout, done.stderr
        else:
            write_export(load_for(kind, model, image_size=size), file, kind)
        given = {
            name: images(number, size or macro.image_height_width)
            for name, number in (("one", 1), ("three", 3))
        }
        found = run(python, kind, file, **given)
        for name, pixels in given.items():
            assert_equal(found[name], logits(model, pixels))
