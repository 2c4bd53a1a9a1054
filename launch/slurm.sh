#!/usr/bin/env bash
# Runs a command on the GPUs of a Slurm cluster, one process a GPU, through preemption and time limits.
#
#   launch/slurm.sh --name=nasnet-1 --nodes=2 --gpus=8 --workdir=/shared/nasnet-1 \
#     [--time=24:00:00] [--restarts=100] [--venv=.venv] [--dry-run] [-- SBATCH_OPTION...] \
#     -- python -m nasnet_jax.search --config=configs/search_cifar10.py
#
# WORKDIR is on a file system that all nodes share; the compilation cache is beside it. A run that is
# preempted or out of time saves, and the job puts itself back into the queue. The same line later
# resumes; a job of that name that is still in the queue is not submitted twice.
set -euo pipefail

# sbatch copies a script away before it runs it, so the folder is handed over.
HERE=${NASNET_JAX_LAUNCH:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}
SUBMIT_ATTEMPTS=5
SUBMIT_PAUSE=${SUBMIT_PAUSE:-10}

usage() {
  sed -n '2,10s/^# \{0,1\}//p' "$HERE/slurm.sh"
}

fail() {
  echo "Error: $*" >&2
  exit 2
}

# Inside the job: every process of the pod, then back into the queue if it asks for it.
run_job() {
  local restarts=$1 workdir=$2 status=0
  shift 2
  # JAX finds the other processes out from Slurm's variables.
  export NASNET_JAX_DISTRIBUTED=auto
  # Another port for another job on the same node, below those that Linux gives to clients.
  export JAX_COORDINATOR_PORT=$((20000 + SLURM_JOB_ID % 10000))
  export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$(dirname "$workdir")/jax_cache}
  # The same sums in the same order, or a resumed search would not be the search that was interrupted.
  export XLA_FLAGS="--xla_gpu_deterministic_ops=true ${XLA_FLAGS:-}"
  # Every process sees all GPUs of its node and takes one by its number. Since Slurm 22.05 srun has
  # to be told of the cores for each of them, or it gives them one.
  srun --kill-on-bad-exit=1 --gpu-bind=none \
    ${SLURM_CPUS_PER_TASK:+"--cpus-per-task=$SLURM_CPUS_PER_TASK"} \
    "$@" "--workdir=$workdir" || status=$?
  if { [ "$status" -eq 75 ] || [ "$status" -eq 69 ] || [ "$status" -ge 128 ]; } &&
    [ "${SLURM_RESTART_COUNT:-0}" -lt "$restarts" ]; then
    echo "Ended with status $status: back into the queue."
    scontrol requeue "$SLURM_JOB_ID"
  fi
  exit "$status"
}

if [ "${1:-}" = run_job ]; then
  shift
  run_job "$@"
fi

name='' nodes='' gpus='' workdir='' time='' restarts=100 venv='' dry_run=''
while [ "$#" -gt 0 ]; do
  case $1 in
    --name=*) name=${1#*=} ;;
    --nodes=*) nodes=${1#*=} ;;
    --gpus=*) gpus=${1#*=} ;;
    --workdir=*) workdir=${1#*=} ;;
    --time=*) time=${1#*=} ;;
    --restarts=*) restarts=${1#*=} ;;
    --venv=*) venv=${1#*=} ;;
    --dry-run) dry_run=yes ;;
    -h | --help)
      usage
      exit
      ;;
    --) break ;;
    *) fail "I do not know $1; see --help." ;;
  esac
  shift
done
[ "${1:-}" = -- ] && shift

# Up to a second `--` the words are options of sbatch.
options=()
for word in "$@"; do
  if [ "$word" = -- ]; then
    while [ "$1" != -- ]; do
      options+=("$1")
      shift
    done
    shift
    break
  fi
done

if [ -z "$name" ] || [ -z "$nodes" ] || [ -z "$gpus" ] || [ -z "$workdir" ] || [ "$#" -eq 0 ]; then
  fail "--name, --nodes, --gpus, --workdir and a command after -- are needed; see --help."
fi
[ "${workdir#/}" != "$workdir" ] || fail "--workdir must be absolute, on a shared file system."

# --signal: srun's processes get SIGTERM two minutes before the time limit, to save.
submit=(sbatch --parsable "--job-name=$name" "--nodes=$nodes" "--gres=gpu:$gpus"
  "--ntasks-per-node=$gpus" --requeue --open-mode=append --signal=TERM@120
  "--output=$workdir.log" ${time:+"--time=$time"} "${options[@]}"
  "--export=ALL,NASNET_JAX_LAUNCH=$HERE" "$HERE/slurm.sh"
  run_job "$restarts" "$workdir" "$@")

if [ -n "$dry_run" ]; then
  printf '%q ' "${submit[@]}"
  echo
  exit
fi

queued=$(squeue --me --noheader --format=%i "--name=$name")
if [ -n "$queued" ]; then
  fail "job $queued of the name $name is still in the queue: scancel $queued, or choose another name."
fi
if [ -n "$venv" ]; then
  PATH=$(cd "$venv/bin" && pwd):$PATH
fi
mkdir -p "$(dirname "$workdir")"
for attempt in $(seq "$SUBMIT_ATTEMPTS"); do
  if job=$("${submit[@]}"); then
    echo "Job $job. Its log: $workdir.log; end it: scancel $job"
    exit
  fi
  echo "sbatch failed (attempt $attempt of $SUBMIT_ATTEMPTS)." >&2
  sleep "$SUBMIT_PAUSE"
done
echo "Nothing was submitted." >&2
exit 1
