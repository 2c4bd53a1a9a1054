"""The Cloud TPU launcher against a gcloud that remembers, records and fails as it is told to."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import pytest

LAUNCHER = pathlib.Path(__file__).resolve().parents[2] / "launch" / "tpu_pod.py"
COMMAND = ["python", "-m", "nasnet_jax.search", "--config=configs/search_cifar10.py"]
WHERE = ["--name=run-1", "--zone=us-west4-a", "--poll=0.01", "--retries=3"]
TPU = ["--accelerator=v5litepod-16", "--runtime=v2-alpha-tpuv5-lite", "--storage=gs://bucket"]

FAKE_GCLOUD = f"""#!{sys.executable} -IS
# Its state is the file `state`; `faults.json` lists [what, exit status, text, next state]: the first
# fault whose `what` is part of the call happens, once.
import json, os, pathlib, sys, time
here = pathlib.Path(os.environ["FAKE"])
words = " ".join(sys.argv[1:])
with (here / "calls").open("a") as file:
    file.write(words + "\\n")
state = (here / "state").read_text() if (here / "state").exists() else ""
def become(new):
    (here / "state").write_text(new)
faults = json.loads((here / "faults.json").read_text())
for fault in faults:
    what, status, text, new = fault
    if what in words:
        faults.remove(fault)
        (here / "faults.json").write_text(json.dumps(faults))
        if new is not None:
            become(new)
        print(text, file=sys.stderr if status else sys.stdout, flush=True)
        if "HANG" in text:
            time.sleep(60)  # A connection that stands until the test ends it.
        sys.exit(status)
verb = sys.argv[4]
if verb == "create":
    become("WAITING_FOR_RESOURCES")
elif verb == "delete":
    become("")
elif verb == "describe":
    if not state:
        sys.exit("ERROR: NOT_FOUND: no such resource")
    print(state)
    if state == "WAITING_FOR_RESOURCES":
        become("ACTIVE")
elif state != "ACTIVE":
    sys.exit("ERROR: the TPU is not there")
elif " follow " in words:
    print("a line of the log")
    print("tpu_worker: run-1 ended with status 0")
"""


class FakeCloud:
    """A folder with the fake gcloud's state, and what was asked of it."""

    def __init__(self, folder):
        self.folder = folder
        program = folder / "gcloud"
        program.write_text(FAKE_GCLOUD)
        program.chmod(0o755)
        self.fail()

    def fail(self, *faults):
        (self.folder / "faults.json").write_text(json.dumps(faults))

    @property
    def environment(self):
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "FAKE": str(self.folder)}

    def launch(self, *arguments, command=COMMAND):
        words = [sys.executable, str(LAUNCHER), *arguments, *(["--", *command] if command else [])]
        return subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    @property
    def calls(self):
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def count(self, what):
        return sum(what in call for call in self.calls)

    @property
    def resource(self):
        path = self.folder / "state"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def cloud(tmp_path):
    return FakeCloud(tmp_path)


@pytest.fixture(autouse=True)
def never_leave_a_resource_unmentioned(cloud):
    yield
    if cloud.resource:
        assert cloud.mentioned, "a resource was left behind without a word"


@pytest.fixture
def up(cloud):
    cloud.mentioned = False

    def up(*arguments):
        done = cloud.launch("up", *WHERE, *TPU, *arguments)
        cloud.mentioned = "Left behind: queued resource run-1" in done.stderr
        return done

    return up


def test_up_runs_on_all_workers_and_deletes(cloud, up):
    done = up("--tier=spot")
    assert done.returncode == 0, done.stderr
    create = next(call for call in cloud.calls if " create " in call)
    for word in ("--node-id=run-1", "--accelerator-type=v5litepod-16", "--spot", "--async"):
        assert word in create
    start = next(call for call in cloud.calls if " start run-1 " in call)
    assert "--node=all --worker=all" in start and shlex.join(COMMAND) in start
    assert "gs://bucket" in start
    assert "a line of the log" in done.stdout
    assert cloud.resource == "" and "No resource is left behind" in done.stdout


def test_multislice_and_reserved(cloud, up):
    assert up("--slices=4", "--tier=reserved", "--project=p").returncode == 0
    create = next(call for call in cloud.calls if " create " in call)
    for word in ("--node-count=4", "--node-prefix=run-1", "--reserved", "--project=p"):
        assert word in create
    assert "--node-id" not in create


def test_quota_is_asked_for_again(cloud, up):
    refusal = [" create ", 1, "ERROR: RESOURCE_EXHAUSTED: Quota exceeded", None]
    cloud.fail(refusal, refusal)
    assert up().returncode == 0
    assert cloud.count(" create ") == 3


def test_quota_that_never_comes_ends_with_the_reason(cloud, up):
    cloud.fail(*[[" create ", 1, "ERROR: RESOURCE_EXHAUSTED: Quota exceeded", None]] * 9)
    done = up()
    assert done.returncode == 1 and "Quota exceeded" in done.stderr
    assert cloud.count(" create ") == 4
    assert "No resource is left behind" in done.stdout


def test_refusal_for_good_is_not_repeated(cloud, up):
    cloud.fail([" create ", 1, "ERROR: PERMISSION_DENIED: tpu.nodes.create", None])
    done = up()
    assert done.returncode == 1 and "PERMISSION_DENIED" in done.stderr
    assert cloud.count(" create ") == 1


def test_lost_answer_to_create_is_no_second_resource(cloud, up):
    cloud.fail(
        [" create ", 1, "ERROR: UNAVAILABLE: connection reset", "WAITING_FOR_RESOURCES"],
        [" create ", 1, "ERROR: ALREADY_EXISTS", None],
    )
    assert up().returncode == 0


def test_preemption_in_the_middle_starts_the_same_run_again(cloud, up):
    cloud.fail([" follow ", 255, "connection closed", "SUSPENDED"])
    done = up("--tier=spot")
    assert done.returncode == 0, done.stderr
    assert "The TPU is gone: the queued resource is SUSPENDED" in done.stdout
    assert cloud.count(" create ") == 2 and cloud.count(" delete ") == 2
    starts = [re.sub(r" start run-1 \S+ ", " ", c) for c in cloud.calls if " start " in c]
    assert len(starts) == 2 and starts[0] == starts[1]


def test_preemption_while_the_code_is_copied(cloud, up):
    cloud.fail([" scp ", 255, "connection closed", "SUSPENDED"])
    assert up().returncode == 0
    assert cloud.count(" create ") == 2


def test_failed_request_is_made_again_a_few_times(cloud, up):
    cloud.fail([" describe ", 0, "FAILED", None], [" describe ", 0, "FAILED", None])
    assert up().returncode == 0
    (cloud.folder / "calls").unlink()
    cloud.fail(*[[" describe ", 0, "FAILED", None]] * 20)
    done = up()
    assert done.returncode == 1 and "failed 4 times" in done.stderr


def test_dropped_connection_follows_on_from_the_next_line(cloud, up):
    cloud.fail([" follow ", 255, "x", None], [" follow ", 0, "one\ntwo\nthree", None])
    assert up().returncode == 0
    lines = [re.search(r"follow run-1 (\d+)", call) for call in cloud.calls]
    assert [int(line[1]) for line in lines if line] == [1, 1, 4]
    assert cloud.count(" create ") == 1 and cloud.count(" start ") == 1


def test_connection_dropped_while_starting_starts_once_by_token(cloud, up):
    cloud.fail([" start ", 255, "connection closed", None])
    assert up().returncode == 0
    tokens = {m[1] for call in cloud.calls if (m := re.search(r" start run-1 (\S+) ", call))}
    assert cloud.count(" start ") == 2 and len(tokens) == 1


def test_run_that_is_under_way_is_followed_and_not_started(cloud, up):
    (cloud.folder / "state").write_text("ACTIVE")
    cloud.fail(["kill -0", 0, "running", None])
    assert up().returncode == 0
    assert cloud.count(" create ") == cloud.count(" start ") == cloud.count(" scp ") == 0


@pytest.mark.parametrize(("status", "starts"), [(75, 2), (69, 2), (134, 2), (1, 1)])
def test_which_statuses_run_the_command_again(cloud, up, status, starts):
    cloud.fail([" follow ", 0, f"tpu_worker: run-1 ended with status {status}", None])
    assert up().returncode == (0 if starts == 2 else status)
    assert cloud.count(" start ") == starts
    assert cloud.resource == ""


def test_command_that_always_dies_is_given_up(cloud, up):
    cloud.fail(*[[" follow ", 0, "tpu_worker: run-1 ended with status 134", None]] * 9)
    assert up().returncode == 134
    assert cloud.count(" start ") == 4


def test_keep_says_what_is_left(cloud, up):
    done = up("--keep")
    assert done.returncode == 0 and cloud.resource == "ACTIVE"
    delete = next(line for line in done.stderr.splitlines() if "tpu_pod.py delete" in line)
    words = shlex.split(delete)[2:]
    assert cloud.launch(*words, "--poll=0.01", command=None).returncode == 0
    assert cloud.resource == ""


def test_delete_that_fails_says_what_is_left(cloud, up):
    cloud.fail(*[[" delete ", 1, "ERROR: UNAUTHENTICATED", None]] * 9)
    done = up()
    assert done.returncode == 1 and "UNAUTHENTICATED" in done.stderr
    assert cloud.resource == "ACTIVE" and "Left behind" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_launcher_says_what_is_left(cloud, number):
    cloud.fail([" follow ", 0, "HANG", None])
    command = [sys.executable, str(LAUNCHER), "up", *WHERE, *TPU, "--", *COMMAND]
    with subprocess.Popen(
        command, env=cloud.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert any("HANG" in line for line in process.stdout)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    cloud.mentioned = "Left behind" in errors
    assert process.returncode == 130 and "goes on" in errors


def test_dry_run_prints_everything_and_calls_nothing(cloud):
    done = cloud.launch("up", *WHERE, *TPU, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert cloud.calls == []
    printed = [line[2:] for line in done.stdout.splitlines() if line.startswith("+ ")]
    verbs = [shlex.split(line)[4] for line in printed if line.startswith("gcloud")]
    assert verbs == ["describe", "create", "ssh", "scp", "ssh", "ssh", "ssh", "delete"]


def test_code_that_is_copied_is_what_git_does_not_ignore(cloud):
    done = cloud.launch("upload", *WHERE, "--dry-run", command=None)
    tar = next(line for line in done.stdout.splitlines() if "tar -czf" in line)
    script = shlex.split(tar[2:])[-1]
    archive = cloud.folder / "code.tar.gz"
    script = re.sub(r"tar -czf \S+", f"tar -czf {archive}", script)
    subprocess.run(["bash", "-o", "pipefail", "-c", script], check=True, timeout=60)
    names = subprocess.run(
        ["tar", "-tzf", archive], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {"setup.py", "launch/tpu_worker.sh"} <= set(names)
    assert not any(name.startswith((".git/", ".venv")) for name in names)


@pytest.mark.parametrize(
    ("arguments", "command", "message"),
    [
        (["up", *WHERE], COMMAND, "up needs accelerator, runtime, storage"),
        (["up", *WHERE, *TPU], [], "up needs command"),
        (["up", *WHERE, *TPU], ["python", "--workdir=x"], "leave --workdir out"),
        (["up", *WHERE, *TPU, "--storage=gs://bucket/folder"], COMMAND, "without a folder"),
        (["status", "--name=A_B", "--zone=z"], [], "lower-case"),
    ],
)
def test_wrong_arguments_are_explained(cloud, arguments, command, message):
    done = cloud.launch(*arguments, command=command)
    assert done.returncode == 2 and message in done.stderr
