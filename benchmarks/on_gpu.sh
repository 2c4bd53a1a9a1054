#!/usr/bin/env bash
# Measures what is to be known of a GPU: benchmarks/on_gpu.sh [PART ...]
#
# For a machine with a GPU and Python's packages jax (0.11 or later, for CUDA), flax, optax, orbax-checkpoint,
# scikit-learn, matplotlib, jinja2 and torch. What else is needed, carry.sh puts into .cache/gpu beforehand, on
# a machine with a network; this one needs none, and no TensorFlow.
#
#   a  a search's program as CUDA graphs and without, one child at a time and 64     (rows/graphs.py)
#   b  each kind of layer in several forms, s = 1, 8, 16, 32                       (rows/kinds.py)
#   c  child-steps a second at K = 1 to 256, beside eager PyTorch and its compiler (rows/steps.py)
#   d  a search on CIFAR-10 for ON_GPU_SECONDS (120)                               (rows/cifar.py)
#
# All parts in this order, unless some are named. Each writes to OUT (benchmarks/results/gpu) as it goes, so a run
# may be ended at any time: a and b take one call of six minutes, c and d another.
# ON_GPU_FLAGS goes to run.py; --quick only says whether everything works, on any machine.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
python=${PYTHON:-python3}
out=${OUT:-benchmarks/results/gpu}
carried=.cache/gpu
mkdir -p "$out" "$carried"
if [ -d "$carried/wheels" ]; then
  "$python" -m pip install --quiet --no-index --no-deps --upgrade --target "$carried/site" "$carried"/wheels/*.whl || exit
fi
PYTHONPATH="$PWD:$PWD/$carried/site${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
# A program may have nearly all of the memory, since programs are run one after the other.
export XLA_PYTHON_CLIENT_MEM_FRACTION="${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.94}"
export BENCH_PEERS="${BENCH_PEERS:-$python}"
# shellcheck disable=SC2086  # Several flags.
measure() { "$python" benchmarks/run.py --folder="$out" ${ON_GPU_FLAGS:-} "$1"; }

status=0
for part in "${@:-a b c d}"; do
  for name in $part; do
    case $name in
      a) measure graphs ;;
      b) measure kinds ;;
      c) measure steps ;;
      d) measure cifar ;;
      *) echo "There is no part '$name'; there are a, b, c and d." >&2 && exit 2 ;;
    esac || { status=$? && echo "Part $name ended with status $status." >&2; }
  done
done
exit "$status"
