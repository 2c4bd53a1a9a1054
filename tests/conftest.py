"""Settings that must stand before JAX is imported, and the fixtures that several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# All as environment variables, so that the commands which tests start inherit them.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Four devices on any machine: the parallel path is the only path.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
# The last bits of XLA:CPU's convolution gradients depend on the size of its thread pool, which is
# the larger of this number and that of the devices; fixed, so that processes compare equal.
os.environ.setdefault("NPROC", "4")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# After the environment: a plugin of hypothesis may import libraries that are found.
from hypothesis import settings  # noqa: E402

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
