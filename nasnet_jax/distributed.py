"""Becoming one process of several, before JAX touches a device.

JAX's own multi-host runtime is the engine; this file only decides from the environment whether to
start it, and bounds how long it waits. The variables, all of them optional:

| variable | meaning |
| --- | --- |
| `JAX_COORDINATOR_ADDRESS` | `host:port` of process 0; with the two below it describes the pod |
| `JAX_NUM_PROCESSES`, `JAX_PROCESS_ID` | how many processes there are, and which this is, from 0 |
| `NASNET_JAX_DISTRIBUTED` | `auto`: JAX finds out by itself (TPU pods, GKE, Slurm, Open MPI) |
| `NASNET_JAX_START_SECONDS` | how long to wait until all processes are there |
| `NASNET_JAX_HEARTBEAT_SECONDS` | a process silent for so long is dead, and the pod ends |

`JAX_COORDINATOR_PORT` is read by JAX itself when it finds the cluster out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import threading
from collections.abc import Iterator, Mapping

import jax

from nasnet_jax.coordinator import check_free, reach

START_SECONDS = 300
"""Wait for the other processes; JAX's own default."""

HEARTBEAT_SECONDS = 30
"""JAX's default of 100 would leave a pod hanging for longer than a minute after a process died."""

INCOMPLETE_EXIT_CODE = 69
"""Exit status if the pod did not become complete in time (sysexits' EX_UNAVAILABLE)."""

_DESCRIPTION = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


@dataclasses.dataclass(frozen=True)
class Pod:
    """What the environment says about this process.

    Attributes:
        coordinator: `host:port` of process 0, or None if JAX is to find the cluster out.
        num_processes: Processes in all, or None likewise.
        process_id: Which of them this is, or None likewise.
        start_seconds: How long to wait until all are there.
        heartbeat_seconds: Silence after which a process counts as dead.
    """

    coordinator: str | None
    num_processes: int | None
    process_id: int | None
    start_seconds: int = START_SECONDS
    heartbeat_seconds: int = HEARTBEAT_SECONDS


def pod_of(environment: Mapping[str, str]) -> Pod | None:
    """Reads the variables; None if they ask for a single process.

    Raises:
        ValueError: If they contradict each other or are not numbers.
    """
    start = _number(environment, "NASNET_JAX_START_SECONDS", START_SECONDS, least=1)
    heartbeat = _number(environment, "NASNET_JAX_HEARTBEAT_SECONDS", HEARTBEAT_SECONDS, least=1)
    mode = environment.get("NASNET_JAX_DISTRIBUTED", "")
    if mode not in ("", "auto"):
        raise ValueError(f"NASNET_JAX_DISTRIBUTED is {mode!r}; it can be 'auto' or absent.")
    if mode == "auto":
        return Pod(None, None, None, start, heartbeat)
    there = [name for name in _DESCRIPTION[1:] if name in environment]
    if not there:
        return None
    missing = [name for name in _DESCRIPTION if name not in environment]
    if missing:
        raise ValueError(
            f"{' and '.join(there)} say that this is one process of several, but "
            f"{' and '.join(missing)} are missing. Set all three, or NASNET_JAX_DISTRIBUTED=auto."
        )
    coordinator = environment["JAX_COORDINATOR_ADDRESS"]
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 1 <= int(port) <= 65_535:
        raise ValueError(f"JAX_COORDINATOR_ADDRESS must be host:port, but it is {coordinator!r}.")
    processes = _number(environment, "JAX_NUM_PROCESSES", 1, least=1)
    process = _number(environment, "JAX_PROCESS_ID", 0, least=0)
    if process >= processes:
        raise ValueError(
            f"JAX_PROCESS_ID is {process}, but there are {processes} processes, counted from 0."
        )
    return Pod(coordinator, processes, process, start, heartbeat)


def initialize() -> bool:
    """Joins the pod that the environment describes; call it before JAX looks for its devices.

    If the pod does not become complete in time, the process says so and exits with
    `INCOMPLETE_EXIT_CODE`: JAX's runtime would abort it, so there is nothing to catch.

    Returns:
        Whether this is one process of several.

    Raises:
        ValueError: If the variables contradict each other, or no cluster is found.
        OSError: If the coordinator's port cannot be used.
    """
    pod = pod_of(os.environ)
    if pod is None:
        return False
    if (address := _own_address(pod, os.environ)) is not None:
        check_free(address)
    with _ending_if_incomplete(pod), _explaining(pod):
        jax.distributed.initialize(
            coordinator_address=pod.coordinator,
            num_processes=pod.num_processes,
            process_id=pod.process_id,
            # Without it JAX would still look for a cluster, to choose the local devices.
            cluster_detection_method=None if pod.coordinator is None else "deactivate",
            # Later than the watch below, which explains what happened.
            initialization_timeout=pod.start_seconds + 60,
            heartbeat_timeout_seconds=pod.heartbeat_seconds,
        )
    return True


def _own_address(pod: Pod, environment: Mapping[str, str]) -> str | None:
    """Where this process is to listen for the others, if it is the first one and that is known."""
    if pod.coordinator is not None:
        is_first, port = pod.process_id == 0, pod.coordinator.rpartition(":")[2]
    else:
        # JAX finds the number out later; of clusters whose jobs share nodes it knows Slurm's.
        is_first = environment.get("SLURM_PROCID") == "0"
        port = environment.get("JAX_COORDINATOR_PORT", "")
    if not is_first or not port.isdigit():
        return None
    return environment.get("JAX_COORDINATOR_BIND_ADDRESS", f"[::]:{port}")


@contextlib.contextmanager
def _explaining(pod: Pod) -> Iterator[None]:
    """Says for people why JAX did not start the pod."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise OSError(
            f"JAX cannot start the pod's coordinator: {error}. JAX_COORDINATOR_PORT names another port."
        ) from error
    except (ValueError, LookupError) as error:
        if pod.coordinator is not None:
            raise
        raise ValueError(
            "NASNET_JAX_DISTRIBUTED is 'auto', but JAX finds no cluster here "
            f"({error}). Unset it, or set {', '.join(_DESCRIPTION)}."
        ) from error


@contextlib.contextmanager
def _ending_if_incomplete(pod: Pod) -> Iterator[None]:
    """Ends the process if the block takes longer than the pod may take to become complete."""

    def end() -> None:
        if pod.coordinator is None:
            who = "this process of the cluster that JAX found still waits for others"
        else:
            who = f"process {pod.process_id} of {pod.num_processes} waits: {reach(pod.coordinator)}"
        print(
            f"Error: the pod was not complete after {pod.start_seconds} s: {who}. See whether every "
            "process was started, whether they were given the same address and number, and whether "
            "a firewall is between them and that port. NASNET_JAX_START_SECONDS allows more time.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(INCOMPLETE_EXIT_CODE)

    watch = threading.Timer(pod.start_seconds, end)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _number(environment: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdigit() or int(text) < least:
        raise ValueError(f"{name} must be a whole number from {least}, but it is {text!r}.")
    return int(text)
