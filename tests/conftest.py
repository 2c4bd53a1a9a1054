"""Settings that must stand before JAX is imported, and the fixtures that several tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# All as environment variables, so that the commands which tests start inherit them.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Four devices on any machine: the parallel path is the only path.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
# The last bits of XLA:CPU's convolution gradients depend on the size of its thread pool, which is
# the larger of this number and that of the devices; fixed, so that processes compare equal.
os.environ.setdefault("NPROC", "4")
# A folder for each of several workers: one might read what another has begun to write.
_CACHE = ROOT / ".cache" / "jax" / os.environ.get("PYTEST_XDIST_WORKER", "")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# After the environment: a plugin of hypothesis may import libraries that are found.
from hypothesis import settings  # noqa: E402

if TYPE_CHECKING:
    from nasnet_jax.inference import ModelDescription
    from nasnet_jax.nn.nasnet import NASNet

# A first example may compile, so there is no deadline; the examples are the same in every run.
settings.register_profile("nasnet_jax", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("nasnet_jax")


@pytest.fixture(scope="session")
def shared_data_dir() -> Path:
    """Folder of prepared TFDS data sets, by default beside the repository; skips if absent."""
    path = Path(os.environ.get("NASNET_JAX_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no prepared data sets in {path} (NASNET_JAX_DATA_DIR names another folder)")
    return path


@pytest.fixture(scope="session")
def random_network() -> Callable[[ModelDescription], NASNet]:
    """Makes a network as if trained: random parameters, and statistics unlike those of a start."""
    return _random_network


def _random_network(description: ModelDescription) -> NASNet:
    import jax
    import numpy as np
    from flax import nnx

    rng = np.random.default_rng(0)

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        name = jax.tree_util.keystr(path)
        if "variance" in name or "scale" in name:
            values = rng.uniform(0.5, 2.0, leaf.shape)
        else:
            values = rng.normal(0, 0.5, leaf.shape)
        return jax.numpy.asarray(values, leaf.dtype)

    graph, state = nnx.split(description.abstract_network())
    return nnx.merge(graph, jax.tree_util.tree_map_with_path(draw, state))


@pytest.fixture(scope="session")
def description() -> ModelDescription:
    """What `model` is: two blocks a cell, three cells, colour images of 8x8, four classes."""
    import numpy as np

    from nasnet_jax.inference import ModelDescription, Preprocessing
    from nasnet_jax.space import Architecture, Macro

    return ModelDescription(
        architecture=Architecture.from_one_line(
            "normal: sep_conv_3x3(0)+avg_pool_3x3(1) conv_1x1(2)++identity(0); "
            "reduction: max_pool_3x3(0)+conv_3x3(1) identity(2)+conv_1x3_3x1(0)"
        ),
        macro=Macro(num_cells=1, num_filters=4, num_classes=4, image_size=8, num_reductions=1),
        preprocessing=Preprocessing.standardized(
            (8, 8), np.array([100.0, 110.0, 120.0]), np.array([50.0, 60.0, 70.0])
        ),
        class_names=("ant", "bee", "cat", "dog"),
        layers={"norm_epsilon": 1e-3},
        config={"seed": 3},
    )


@pytest.fixture(scope="session")
def network(description: ModelDescription) -> NASNet:
    """A tiny network in inference mode."""
    return _random_network(description)


@pytest.fixture(scope="session")
def model_folder(
    tmp_path_factory: pytest.TempPathFactory, description: ModelDescription, network: NASNet
) -> Path:
    """`network`, saved."""
    from flax import nnx

    from nasnet_jax.inference import save_model

    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(
        folder, description, nnx.state(network, nnx.Param), nnx.state(network, nnx.BatchStat)
    )
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium that is installed on the machine."""
    path = os.environ.get("NASNET_JAX_CHROMIUM") or next(
        filter(None, map(shutil.which, _BROWSERS)), None
    )
    if path is None:
        message = (
            f"no browser: none of {', '.join(_BROWSERS)} is installed "
            "(NASNET_JAX_CHROMIUM names one)"
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root, which tests in a container are.
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()
