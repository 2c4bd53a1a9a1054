"""The local pod, with children that are quick because they know nothing of JAX."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from pods import heeding_signals
from terminals import in_terminal

LAUNCHER = pathlib.Path(__file__).resolve().parents[2] / "launch" / "local_pod.py"


def pod(*arguments, code, processes=3):
    """The launcher's command for children that run `code`."""
    return [
        sys.executable, str(LAUNCHER), f"--processes={processes}", *arguments,
        "--", sys.executable, "-u", "-c", code,
    ]  # fmt: skip


def run(command, timeout=30):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def test_every_process_gets_its_place_and_its_lines_a_prefix():
    code = (
        "import os\n"
        "print(os.environ['JAX_PROCESS_ID'], os.environ['JAX_NUM_PROCESSES'],"
        " os.environ['JAX_NUM_CPU_DEVICES'], os.environ['JAX_COORDINATOR_ADDRESS'])"
    )
    done = run(pod("--devices_per_process=2", "--port=4321", code=code))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        f"[{number}] {number} 3 2 127.0.0.1:4321" for number in range(3)
    ]


def test_dry_run_prints_commands_that_work_and_runs_nothing(tmp_path):
    made = tmp_path / "made"
    code = (
        f"import os, pathlib; pathlib.Path({str(made)!r}).write_text(os.environ['JAX_PROCESS_ID'])"
    )
    done = run(pod("--dry-run", code=code, processes=2))
    assert done.returncode == 0 and not made.exists()
    first, second = done.stdout.splitlines()
    assert "JAX_PROCESS_ID=0" in first
    subprocess.run(second, shell=True, check=True, timeout=30)
    assert made.read_text() == "1"


# In the processes below, sleep stands for work: a minute of it is ended by the pod, less is finished.


def test_first_failure_ends_all_and_gives_the_exit_status():
    code = (
        "import os, sys, time\nif os.environ['JAX_PROCESS_ID'] == '1': sys.exit(7)\ntime.sleep(60)"
    )
    started = time.monotonic()
    done = run(pod("--grace=0.3", code=code))
    assert done.returncode == 7
    assert time.monotonic() - started < 20
    assert "process 1 ended with exit status 7" in done.stdout


def test_others_may_finish_after_a_failure():
    # A preempted process exits with 75 while another one still writes the checkpoint.
    code = (
        "import os, sys, time\n"
        "if os.environ['JAX_PROCESS_ID'] == '1': sys.exit(75)\n"
        "time.sleep(0.5); print('saved'); sys.exit(75)"
    )
    done = run(pod("--grace=10", code=code))
    assert done.returncode == 75
    assert done.stdout.count("saved") == 2


def test_processes_deaf_to_sigterm_are_killed():
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.environ['JAX_PROCESS_ID'] == '0': time.sleep(1); os.kill(os.getpid(), signal.SIGKILL)\n"
        "time.sleep(60)"
    )
    done = run(pod("--grace=0.3", code=code))
    assert done.returncode == 128 + signal.SIGKILL
    assert "process 0 ended with SIGKILL" in done.stdout
    assert "SIGKILL to the processes that are left" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_every_process(number):
    code = (
        "import os, signal, sys, time\n"
        "def handle(number, frame): print('got', number); sys.exit(75)\n"
        "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, handle)\n"
        "print('ready')\n"
        "time.sleep(60)"
    )
    command = heeding_signals(pod(code=code))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        while sum("ready" in line for line in lines) < 3:
            lines.append(process.stdout.readline())
        os.kill(process.pid, number)
        rest = process.stdout.read()
        assert process.wait(timeout=30) == 75
    assert sorted(line for line in rest.splitlines() if "got" in line) == [
        f"[{process}] got {int(number)}" for process in range(3)
    ]


@pytest.mark.timeout(60)
def test_processes_end_in_order_when_the_terminal_is_closed(tmp_path):
    """They may write more than a pipe holds, which nobody reads any more."""
    code = (
        "import os, pathlib, signal, sys, time\n"
        "def handle(number, frame):\n"
        "    print('x' * 2**20)\n"
        f"    pathlib.Path({str(tmp_path)!r}, os.environ['JAX_PROCESS_ID']).touch()\n"
        "    os._exit(75)\n"
        "signal.signal(signal.SIGHUP, handle)\n"
        "print('ready')\n"
        "time.sleep(60)"
    )
    with in_terminal(heeding_signals(pod(code=code, processes=2))) as (launcher, terminal):
        terminal.read_until("ready\r\n", 2)
        terminal.close()
        assert launcher.wait(timeout=30) == 75
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


@pytest.mark.timeout(60)
def test_what_nohup_ignores_is_not_passed_on():
    code = "import time; print('ready'); time.sleep(3); print('done')"
    command = ["nohup", *pod(code=code, processes=1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert "ready" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert "done" in process.stdout.read()
    assert process.returncode == 0


def test_output_held_open_in_the_background_does_not_keep_the_pod():
    code = "import subprocess; subprocess.Popen(['sleep', '20']); print('done')"
    started = time.monotonic()
    done = run(pod("--grace=0.3", code=code, processes=1))
    assert done.returncode == 0 and "[0] done" in done.stdout
    assert time.monotonic() - started < 15


def test_command_is_needed():
    done = run([sys.executable, str(LAUNCHER), "--processes=2"])
    assert done.returncode == 2 and "command" in done.stderr
