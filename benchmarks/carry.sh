#!/usr/bin/env bash
# Gets what on_gpu.sh needs on a machine without a network, into .cache/gpu: benchmarks/carry.sh [DATA_DIR]
#
# Wheels for its Python (ON_GPU_PYTHON, 3.12), and, with the folder of TFDS's prepared CIFAR-10, its images as arrays.
# Copy the working tree there, .cache/gpu included.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
mkdir -p .cache/gpu
"$python" -m pip download --quiet --no-deps --only-binary=:all: --dest .cache/gpu/wheels \
  --python-version "${ON_GPU_PYTHON:-3.12}" --implementation cp \
  --platform manylinux_2_34_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
  bokeh fast-sugiyama ml-collections tornado xyzservices
if [ $# -gt 0 ]; then
  PYTHONPATH="$PWD" "$python" - "$1" <<'PYTHON'
import sys

import numpy as np

from nasnet_jax.search.config import default_config
from nasnet_jax.search.data import load_data

config = default_config()
config.dataset.data_dir = sys.argv[1]
made = load_data(config)
np.savez(
    ".cache/gpu/cifar10.npz",
    train_images=made.train_images,
    train_labels=made.train_labels,
    test_images=made.test_images,
    test_labels=made.test_labels,
)
PYTHON
fi
du -sh .cache/gpu
