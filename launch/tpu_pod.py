#!/usr/bin/env python3
"""Runs a command on a Cloud TPU pod until it has finished, whatever is preempted meanwhile.

    python launch/tpu_pod.py up --name=nasnet-1 --zone=us-west4-a --accelerator=v5litepod-16 \\
        --runtime=v2-alpha-tpuv5-lite --tier=spot --storage=gs://my-bucket -- \\
        python -m nasnet_jax.search --config=configs/search_cifar10.py

`up` creates the queued resource (or finds it), copies the code to all workers, starts the command on
all of them, follows the log, and after a preemption does all of that again; at the end it deletes the
resource. The other actions do one of these steps. The name is the run's identity: the workdir is
STORAGE/NAME, added to the command as `--workdir`, so the same line resumes the run, or follows it
if it still runs, also from another machine.

The exit status is the command's, or 1 if the TPU could not be had. Whenever a resource may be left
behind, the last line says so and how to delete it. `--dry-run` prints the commands and runs none.
It needs `gcloud`, logged in, and Python's standard library.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

ROOT = pathlib.Path(__file__).resolve().parents[1]
CODE = "nasnet_jax_code"
ACTIONS = ("up", "create", "upload", "start", "logs", "status", "stop", "delete")

ABSENT = "ABSENT"
WAITING = ("STATE_UNSPECIFIED", "CREATING", "ACCEPTED", "PROVISIONING", "WAITING_FOR_RESOURCES")
ENDING = ("SUSPENDING", "DELETING")
LOST = ("SUSPENDED", "FAILED")

AGAIN = (69, 75)
"""Exit statuses after which the same command is run again: an incomplete pod, a saved preemption. So
are 128 and more, which a process has that a signal, or JAX after the death of another one, ended."""

NO_CAPACITY = "resource_exhausted|quota|capacity|unavailable|internal|timed? ?out"
"""What gcloud says of refusals that may end by waiting."""

_ENDED = re.compile(r"tpu_worker: \S+ ended with status (\d+)$")


class LaunchError(Exception):
    """The TPU cannot be had or reached; the text is for people."""


class Pod:
    """The queued resource of a run. Every method is one step and one or two calls of gcloud."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self._line = 1

    def gcloud(self, verb: str, *words: str) -> list[str]:
        """A command about the resource."""
        where = [f"--zone={self.args.zone}"]
        if self.args.project:
            where.append(f"--project={self.args.project}")
        return ["gcloud", "compute", "tpus", "queued-resources", verb, *words, *where]

    def call(self, command: Sequence[str]) -> str:
        """Runs a command and returns what it printed.

        Raises:
            LaunchError: With gcloud's own explanation, if it failed.
        """
        print(f"+ {shlex.join(command)}", flush=True)
        if self.args.dry_run:
            return ""
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LaunchError(done.stderr.strip() or f"{command[0]} exited with {done.returncode}")
        return done.stdout

    def patiently(self, step: Callable[[], T], *, only: str = "") -> T:
        """Takes a step, and again after a failure whose text matches `only`, `--retries` times."""
        for attempt in range(self.args.retries):
            try:
                return step()
            except LaunchError as error:
                if not re.search(only, str(error), re.IGNORECASE):
                    raise
                self._pause(attempt, error)
        return step()

    def on_workers(self, step: Callable[[], None]) -> bool:
        """Takes a step on the workers, patiently; returns False if the TPU is gone meanwhile."""
        for attempt in range(self.args.retries + 1):
            try:
                step()
                return True
            except LaunchError as error:
                if self.patiently(self.state) != "ACTIVE":
                    return False
                if attempt == self.args.retries:
                    raise
                self._pause(attempt, error)
        raise AssertionError("The loop returns or raises.")

    def _pause(self, attempt: int, error: LaunchError) -> None:
        pause = self.args.poll * 2 ** min(attempt, 5)
        print(f"{error}\nTrying again in {pause:g} s.", file=sys.stderr, flush=True)
        time.sleep(pause)  # Longer and longer, to spare a service that refuses.

    def state(self) -> str:
        """The state of the queued resource, `ABSENT` if there is none."""
        try:
            text = self.call(self.gcloud("describe", self.args.name, "--format=value(state.state)"))
        except LaunchError as error:
            if re.search("not[_ ]found", str(error), re.IGNORECASE):
                return ABSENT
            raise
        return text.strip() or ABSENT

    def create(self) -> None:
        """Asks for the resource; it is given when there is capacity."""
        args = self.args
        nodes = (
            [f"--node-count={args.slices}", f"--node-prefix={args.name}"]
            if args.slices > 1
            else [f"--node-id={args.name}"]
        )
        tier = {"on-demand": [], "spot": ["--spot"], "reserved": ["--reserved"]}[args.tier]
        kind = [f"--accelerator-type={args.accelerator}", f"--runtime-version={args.runtime}"]
        try:
            self.call(self.gcloud("create", args.name, *nodes, *kind, *tier, "--async"))
        except LaunchError as error:
            # A request whose answer was lost.
            if not re.search("already[_ ]exists", str(error), re.IGNORECASE):
                raise

    def delete(self) -> None:
        """Deletes the resource with its nodes."""
        self.call(self.gcloud("delete", self.args.name, "--force", "--quiet"))

    def ssh(self, remote: str, *, everywhere: bool) -> list[str]:
        """A command that runs another one on all workers, or on the first."""
        which = "all" if everywhere else "0"
        return self.gcloud(
            "ssh", self.args.name, f"--node={which}", f"--worker={which}", f"--command={remote}"
        )

    def upload(self) -> None:
        """Copies the working tree, without what git ignores, to all workers."""
        with tempfile.TemporaryDirectory() as folder:
            archive = str(pathlib.Path(folder) / "code.tar.gz")
            files = "git ls-files --cached --others --exclude-standard"
            tar = f"cd {shlex.quote(str(ROOT))} && {files} | tar -czf {archive} -T -"
            self.call(["bash", "-o", "pipefail", "-c", tar])
            self.call(
                self.gcloud(
                    "scp", archive, f"{self.args.name}:{CODE}.tar.gz", "--node=all", "--worker=all"
                )
            )
        unpack = f"rm -rf {CODE} && mkdir {CODE} && tar -xzf {CODE}.tar.gz -C {CODE}"
        self.call(self.ssh(unpack, everywhere=True))

    def worker(self, *words: str, everywhere: bool) -> list[str]:
        """A command that runs launch/tpu_worker.sh on the workers."""
        return self.ssh(
            shlex.join(["bash", f"{CODE}/launch/tpu_worker.sh", *words]), everywhere=everywhere
        )

    def start(self, token: str | None = None) -> None:
        """Starts the command on all workers; once for each token."""
        words = (token or uuid.uuid4().hex, self.args.storage, *self.args.command)
        self.call(self.worker("start", self.args.name, *words, everywhere=True))

    def is_running(self) -> bool:
        """Whether the first worker runs the command."""
        group = f'"-$(cat nasnet_jax_runs/{self.args.name}/pid)"'
        remote = f"kill -0 -- {group} 2>/dev/null && echo running || true"
        return "running" in self.call(self.ssh(remote, everywhere=False)).split()

    def stop(self) -> None:
        """Asks the command to save and end."""
        self.call(self.worker("stop", self.args.name, everywhere=True))

    def follow(self) -> int | None:
        """Prints the first worker's log until the command ends.

        Returns:
            Its exit status, or None if the connection ended first.
        """
        command = self.worker("follow", self.args.name, str(self._line), everywhere=False)
        print(f"+ {shlex.join(command)}", flush=True)
        if self.args.dry_run:
            return 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if ended := _ENDED.match(line.strip()):
                        return int(ended[1])
                    self._line += 1
                    print(line, end="", flush=True)
            finally:
                process.terminate()
        return None

    def obtain(self) -> None:
        """Waits until the resource is active, requesting it as often as it takes.

        Raises:
            LaunchError: If the request is refused for good, or failed more than `--retries` times.
        """
        failures = 0
        while (state := self.patiently(self.state)) != "ACTIVE":
            if state in LOST:
                failures += state == "FAILED"
                if failures > self.args.retries:
                    raise LaunchError(f"The queued resource failed {failures} times.")
                print(f"The queued resource is {state}: it is deleted and requested again.")
                self.patiently(self.delete)
            elif state == ABSENT:
                self.patiently(self.create, only=NO_CAPACITY)
                if self.args.dry_run:
                    return
            elif state in (*WAITING, *ENDING):
                print(f"The queued resource is {state}.", flush=True)
                time.sleep(self.args.poll)  # gcloud can be asked, but does not call back.
            else:
                raise LaunchError(f"The queued resource is in the unknown state {state!r}.")

    def watch(self) -> int | None:
        """Follows the command through lost connections.

        Returns:
            Its exit status, or None if the TPU is gone.
        """
        while (status := self.follow()) is None:
            state = self.patiently(self.state)
            if state != "ACTIVE":
                print(f"The TPU is gone: the queued resource is {state}.", flush=True)
                return None
            print("The connection ended, the TPU is there: following again.", flush=True)
            time.sleep(self.args.poll)  # A line that drops at once is not to be dialled in a loop.
        return status

    def launch(self) -> int | None:
        """Starts the command, unless it runs, and watches it; None if the TPU is gone."""
        running: list[bool] = []
        if not self.on_workers(lambda: running.append(self.is_running())):
            return None
        if not running[-1]:
            self._line, token = 1, uuid.uuid4().hex
            if not self.on_workers(self.upload):
                return None
            if not self.on_workers(lambda: self.start(token)):
                return None
        return self.watch()

    def up(self) -> int:
        """Everything, until the command has ended by itself."""
        restarts = 0
        while True:
            self.obtain()
            status = self.launch()
            if status is None:
                continue
            if status not in AGAIN and status < 128:
                return status
            restarts += 1
            if restarts > self.args.retries:
                print(f"The command was restarted {self.args.retries} times.", file=sys.stderr)
                return status
            print(f"The command ended with status {status}: running it again.", flush=True)


def say_what_is_left(pod: Pod) -> None:
    """Tells whether the resource is still there, which costs money."""
    if pod.args.dry_run:
        return
    try:
        state = pod.state()
    except LaunchError as error:
        state = f"in an unknown state ({error})"
    if state == ABSENT:
        print("No resource is left behind.")
        return
    arguments = [f"--name={pod.args.name}", f"--zone={pod.args.zone}"]
    if pod.args.project:
        arguments.append(f"--project={pod.args.project}")
    print(
        f"Left behind: queued resource {pod.args.name} in {pod.args.zone}, {state}. Delete it:\n"
        f"  python launch/tpu_pod.py delete {shlex.join(arguments)}",
        file=sys.stderr,
    )


def act(pod: Pod) -> int:
    """Performs the action."""
    args = pod.args
    if args.action == "up":
        try:
            status = pod.up()
            if not args.keep:
                pod.patiently(pod.delete)
            return status
        finally:
            say_what_is_left(pod)
    if args.action == "status":
        print(pod.state())
        return 0
    if args.action == "logs":
        ended = pod.watch()
        return 1 if ended is None else ended
    if args.action == "create":
        try:
            pod.obtain()
        finally:
            say_what_is_left(pod)
        return 0
    pod.patiently(getattr(pod, args.action))
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; what comes after `--` is the command."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--name", required=True, help="of the run, the resource and the workdir")
    parser.add_argument("--zone", required=True, help="for example us-west4-a")
    parser.add_argument("--project", default="", help="default: gcloud's")
    parser.add_argument("--accelerator", help="for example v5litepod-16, v6e-8, v4-32")
    parser.add_argument("--runtime", help="software of the TPU, for example v2-alpha-tpuv5-lite")
    parser.add_argument("--slices", type=int, default=1, help="more than one: multislice")
    parser.add_argument("--tier", choices=("on-demand", "spot", "reserved"), default="on-demand")
    parser.add_argument("--storage", help="gs://BUCKET or HOST:/SHARE (NFS) that all workers mount")
    parser.add_argument("--keep", action="store_true", help="do not delete the TPU at the end")
    parser.add_argument("--retries", type=int, default=10, help="of every step (default: 10)")
    parser.add_argument("--poll", type=float, default=30.0, help="seconds between two questions")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    parser.epilog = "What comes after -- is the command that all workers run."
    end = list(argv).index("--") if "--" in argv else len(argv)
    args = parser.parse_args(argv[:end])
    args.command = list(argv[end + 1 :])
    needed = {"up": ("accelerator", "runtime", "storage", "command"),
              "create": ("accelerator", "runtime"), "start": ("storage", "command")}  # fmt: skip
    missing = [name for name in needed.get(args.action, ()) if not getattr(args, name)]
    if missing:
        parser.error(f"{args.action} needs {', '.join(missing)}.")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,60}", args.name):
        parser.error("--name must be lower-case letters, digits and hyphens, a letter first.")
    if args.storage and not re.fullmatch(r"gs://[^/]+|(?!gs:)[^/:]+:/.*", args.storage):
        parser.error("--storage must be gs://BUCKET, without a folder, or HOST:/SHARE of NFS.")
    if any(word.startswith("--workdir") for word in args.command):
        parser.error("The workdir is STORAGE/NAME: leave --workdir out of the command.")
    return args


def main(argv: Sequence[str]) -> int:
    """Acts, and explains what stopped it."""
    pod = Pod(parse(argv))
    # SIGINT too: a shell in which this runs in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return act(pod)
    except LaunchError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; what runs on the TPU goes on. The same command follows it again.",
              file=sys.stderr)  # fmt: skip
        return 130


if __name__ == "__main__":
    os.environ.setdefault("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
    sys.exit(main(sys.argv[1:]))
