"""Several real processes under `jax.distributed`, each test under a time limit of its own."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from nasnet_jax.coordinator import check_free, reach
from nasnet_jax.distributed import (
    HEARTBEAT_SECONDS,
    INCOMPLETE_EXIT_CODE,
    START_SECONDS,
    Pod,
    initialize,
    pod_of,
)

ROOT = pathlib.Path(__file__).resolve().parents[1]
PLACE = {
    "JAX_COORDINATOR_ADDRESS": "localhost:1234",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "3",
}

JOINED = """
import jax, numpy as np
from nasnet_jax.distributed import initialize
assert initialize() is True
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
"""


def test_no_variables_mean_a_single_process():
    assert pod_of({}) is None
    # JAX reads the address alone for other purposes, so it decides nothing.
    assert pod_of({"JAX_COORDINATOR_ADDRESS": "localhost:1234"}) is None


def test_variables_describe_the_pod():
    assert pod_of(PLACE) == Pod("localhost:1234", 4, 3, START_SECONDS, HEARTBEAT_SECONDS)
    times = {"NASNET_JAX_START_SECONDS": "7", "NASNET_JAX_HEARTBEAT_SECONDS": "8"}
    assert pod_of(times | {"NASNET_JAX_DISTRIBUTED": "auto"}) == Pod(None, None, None, 7, 8)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"JAX_PROCESS_ID": "4"}, "JAX_PROCESS_ID is 4"),
        ({"JAX_PROCESS_ID": "-1"}, "whole number"),
        ({"JAX_NUM_PROCESSES": "0"}, "from 1"),
        ({"JAX_COORDINATOR_ADDRESS": "localhost"}, "host:port"),
        ({"JAX_COORDINATOR_ADDRESS": ":1234"}, "host:port"),
        ({"JAX_COORDINATOR_ADDRESS": "localhost:99999"}, "host:port"),
        ({"NASNET_JAX_DISTRIBUTED": "yes"}, "'auto' or absent"),
        ({"NASNET_JAX_HEARTBEAT_SECONDS": "soon"}, "whole number"),
    ],
)
def test_contradictions_are_explained(changed, message):
    with pytest.raises(ValueError, match=message):
        pod_of(PLACE | changed)


@pytest.mark.parametrize("name", list(PLACE))
def test_what_is_missing_is_named(name):
    rest = {key: value for key, value in PLACE.items() if key != name}
    with pytest.raises(ValueError, match=f"{name} are missing"):
        pod_of(rest)


@pytest.fixture
def start():
    """Starts process `number` of a pod; every process is killed at the end of the test."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    processes = []

    def start(code, number, *, processes_in_all=2, **variables):
        environment = os.environ | {
            "JAX_NUM_CPU_DEVICES": "1",
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_NUM_PROCESSES": str(processes_in_all),
            "JAX_PROCESS_ID": str(number),
            **variables,
        }
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", code], cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.timeout(90)
def test_local_pod_sums_over_all_processes():
    code = JOINED + (
        "mesh = Mesh(np.array(jax.devices()), ('d',))\n"
        "x = jax.make_array_from_callback((4,), NamedSharding(mesh, P('d')),\n"
        "                                 lambda index: np.arange(4.0)[index])\n"
        "add = jax.shard_map(lambda x: jax.lax.psum(x, 'd'), mesh=mesh, in_specs=P('d'), out_specs=P())\n"
        "print('sum', float(jax.jit(add)(x)[0]), 'process', jax.process_index())\n"
    )
    command = [
        sys.executable, "launch/local_pod.py", "--processes=2", "--devices_per_process=2",
        "--", sys.executable, "-c", code,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=80, check=False
    )
    assert done.returncode == 0, done.stdout
    for number in range(2):
        assert f"[{number}] sum 6.0 process {number}" in done.stdout


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("number", "reason"),
    [(0, "answers, so others are missing"), (1, "nobody answers at 127.0.0.1")],
)
def test_process_that_never_comes_is_an_error_in_bounded_time(start, number, reason):
    process = start(JOINED, number, NASNET_JAX_START_SECONDS="3")
    output, _ = process.communicate(timeout=50)
    assert process.returncode == INCOMPLETE_EXIT_CODE, output
    assert f"process {number} of 2" in output and "not complete after 3 s" in output
    assert reason in output


def test_a_coordinator_without_a_name_is_told_apart():
    assert "'nowhere.invalid' cannot be resolved" in reach("nowhere.invalid:1234")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_taken_port_is_named_before_jax_starts(host, monkeypatch):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as other:
        # As another coordinator does, which gRPC would share the port with.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((host, 0))
        other.listen()
        port = other.getsockname()[1]
        for variables in (
            {"JAX_COORDINATOR_ADDRESS": f"localhost:{port}", "JAX_NUM_PROCESSES": "2",
             "JAX_PROCESS_ID": "0"},
            {"NASNET_JAX_DISTRIBUTED": "auto", "JAX_COORDINATOR_PORT": str(port),
             "SLURM_PROCID": "0"},
        ):  # fmt: skip
            with monkeypatch.context() as context, pytest.raises(OSError, match=f"Port {port}, "):
                for name, value in variables.items():
                    context.setenv(name, value)
                initialize()


def test_a_port_is_free_again_when_its_connections_have_ended():
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As gRPC's.
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            # Closed on this side first, which leaves the address behind for a minute.
            listener.accept()[0].close()
    check_free(f"[::]:{port}")


def test_auto_without_a_cluster_says_so():
    done = subprocess.run(
        [sys.executable, "-c", "from nasnet_jax.distributed import initialize; initialize()"],
        env=os.environ | {"NASNET_JAX_DISTRIBUTED": "auto"},
        stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (
        "ValueError: NASNET_JAX_DISTRIBUTED is 'auto', but JAX finds no cluster here" in done.stderr
    )


@pytest.mark.timeout(120)
@pytest.mark.parametrize("late", [0, 1])
def test_process_that_starts_late_is_waited_for(start, late):
    code = JOINED + "print('devices', jax.device_count())"
    early = start("print('started', flush=True)\n" + code, 1 - late)
    assert "started" in early.stdout.readline()
    for process in (early, start(code, late)):
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 0 and "devices 2" in output, output


@pytest.mark.timeout(90)
@pytest.mark.parametrize("victim", [0, 1])
def test_death_of_a_process_ends_the_other(start, victim):
    code = JOINED + "jax.devices(); print('joined')\nimport time; time.sleep(300)"
    both = [start(code, number, NASNET_JAX_HEARTBEAT_SECONDS="5") for number in range(2)]
    for process in both:
        while "joined" not in process.stdout.readline():
            assert process.poll() is None
    both[victim].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert both[1 - victim].wait(timeout=60) != 0
    assert time.monotonic() - killed < 30


@pytest.mark.timeout(120)
def test_a_signal_during_a_save_is_not_forgotten(start, tmp_path):
    """The loops' number of calls is far from the checkpoint's number, which Orbax would ask about."""
    code = JOINED + (
        "import os, signal, sys, time\n"
        "import orbax.checkpoint as ocp\n"
        "from nasnet_jax.checkpoint import CheckpointManager\n"
        "from nasnet_jax.preemption import Preempted, preemption\n"
        f"with preemption() as signals, CheckpointManager({str(tmp_path / 'run')!r}) as manager:\n"
        "    for _ in range(9):\n"
        "        signals.check()\n"
        "    manager.save(1, args=ocp.args.StandardSave({'x': np.zeros(2)}))\n"
        "    manager.wait_until_finished()\n"
        "    if jax.process_index() == 0:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(4)  # The runtime looks for signals every second.\n"
        "    try:\n"
        "        signals.check()\n"
        "    except Preempted:\n"
        "        print('preempted', flush=True)\n"
    )
    for process in [start(code, number) for number in range(2)]:
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 0 and "preempted" in output, output
