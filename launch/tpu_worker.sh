#!/usr/bin/env bash
# The part of launch/tpu_pod.py that runs on the workers of a Cloud TPU; people rarely call it.
#
#   tpu_worker.sh start NAME TOKEN STORAGE COMMAND...   starts the command and returns
#   tpu_worker.sh follow NAME LINE    prints the log from that line until the command has ended
#   tpu_worker.sh stop NAME           asks the command to save and end
#
# STORAGE is gs://BUCKET, or HOST:/SHARE of NFS. It is mounted at ~/storage, the same on every worker;
# a run keeps its workdir and the compilation cache there, and its log in ~/nasnet_jax_runs/NAME. The
# command outlives the connection. A second start with the same TOKEN changes nothing.
set -euo pipefail

CODE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
MOUNT=$HOME/storage
RUNS=$HOME/nasnet_jax_runs
STOP_SECONDS=120

usage() {
  sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# Fails if the storage cannot be mounted: a run that wrote to the worker's own disk would lose all.
mount_storage() {
  local storage=$1
  mkdir -p "$MOUNT"
  if mountpoint -q "$MOUNT"; then
    return
  fi
  case $storage in
    gs://*)
      command -v gcsfuse >/dev/null || install_gcsfuse
      # Checkpoints become visible by the renaming of a folder.
      gcsfuse --implicit-dirs --rename-dir-limit=100000 "${storage#gs://}" "$MOUNT"
      ;;
    *:/*)
      sudo apt-get install -y -q nfs-common >/dev/null
      sudo mount -t nfs "$storage" "$MOUNT"
      sudo chmod a+rwx "$MOUNT"
      ;;
    *)
      echo "Storage must be gs://BUCKET or HOST:/SHARE, but it is '$storage'." >&2
      return 2
      ;;
  esac
}

install_gcsfuse() {
  local release keys=/usr/share/keyrings/cloud.google.asc
  release=gcsfuse-$(lsb_release -c -s)
  curl -fsS https://packages.cloud.google.com/apt/doc/apt-key.gpg | sudo tee "$keys" >/dev/null
  echo "deb [signed-by=$keys] https://packages.cloud.google.com/apt $release main" |
    sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null
  sudo apt-get update -q >/dev/null
  sudo apt-get install -y -q gcsfuse >/dev/null
}

# The images of TPU workers may have a Python that is too old; uv brings one.
install_package() {
  if ! [ -x "$HOME/venv/bin/python" ]; then
    python3 -m pip install --user --quiet uv
    python3 -m uv venv --quiet --python 3.12 "$HOME/venv"
  fi
  python3 -m uv pip install --quiet --python "$HOME/venv/bin/python" \
    -c "$CODE/constraints/py312.txt" -e "${CODE}[all,tpu]"
}

# The process's group, as long as it is alive.
running_group() {
  local pid
  pid=$(cat "$RUNS/$1/pid" 2>/dev/null) || return 1
  kill -0 -- "-$pid" 2>/dev/null && echo "$pid"
}

# After a worker died, the others notice within the heartbeat's timeout and end; until then, wait.
wait_for_end() {
  local name=$1 waited=0 group
  while group=$(running_group "$name"); do
    if [ "$waited" -ge "$STOP_SECONDS" ]; then
      kill -KILL -- "-$group"
    fi
    sleep 1
    waited=$((waited + 1))
  done
}

work() {
  local name=$1 storage=$2
  shift 2
  mount_storage "$storage"
  install_package
  export PATH=$HOME/venv/bin:$PATH
  export NASNET_JAX_DISTRIBUTED=auto
  # Newer JAX listens on 8482, which the firewall rule of Cloud TPU does not open.
  export JAX_COORDINATOR_PORT=8476
  export JAX_COMPILATION_CACHE_DIR=$MOUNT/jax_cache
  cd "$CODE"
  "$@" --workdir="$MOUNT/$name"
}

start() {
  local name=$1 token=$2 run=$RUNS/$1
  shift 2
  mkdir -p "$run"
  if [ "$(cat "$run/token" 2>/dev/null)" = "$token" ]; then
    return
  fi
  wait_for_end "$name"
  rm -f "$run/status"
  # A session of its own, so that it outlives the connection.
  setsid bash "${BASH_SOURCE[0]}" work "$name" "$@" </dev/null >>"$run/log" 2>&1 &
  echo $! >"$run/pid"
  echo "$token" >"$run/token"
}

follow() {
  local name=$1 line=$2 run=$RUNS/$1
  if ! [ -f "$run/pid" ]; then
    echo "$name was never started on this worker." >&2
    return 1
  fi
  tail -n "+$line" -F --pid="$(cat "$run/pid")" "$run/log" 2>/dev/null || true
  # A run whose status was never written was killed.
  echo "tpu_worker: $name ended with status $(cat "$run/status" 2>/dev/null || echo 137)"
}

stop() {
  local group
  if group=$(running_group "$1"); then
    kill -TERM -- "-$group"
  fi
}

action=${1:---help}
[ "$#" -eq 0 ] || shift
case $action in
  start | follow | stop) "$action" "$@" ;;
  work)
    status_file=$RUNS/$1/status
    trap 'echo "$?" >"$status_file"' EXIT
    # SIGTERM is for the command, which is in the same group; this script tells how it ended.
    trap : TERM
    work "$@"
    ;;
  -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
