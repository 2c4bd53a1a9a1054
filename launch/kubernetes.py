#!/usr/bin/env python3
"""Runs a command as a JobSet on GKE's TPU slices or on nodes with GPUs.

    python launch/kubernetes.py up --name=nasnet-1 --kind=tpu --image=REGISTRY/nasnet_jax:tpu \\
        --accelerator=tpu-v5-lite-podslice --topology=4x4 --nodes=4 --devices=4 --bucket=my-bucket -- \\
        python -m nasnet_jax.search --config=configs/search_cifar10.py

    python launch/kubernetes.py up --name=nasnet-1 --kind=gpu --image=REGISTRY/nasnet_jax:cuda \\
        --nodes=2 --devices=8 --claim=my-shared-volume -- \\
        python -m nasnet_jax.search --config=configs/search_cifar10.py

The JobSet controller starts all processes again when one is lost, and the run resumes from its
checkpoint, since the workdir is /storage/NAME. `up` says how to follow and to delete it; the JobSet
stays until it is deleted, but its nodes are free when it has ended. `--dry-run` prints the manifest and
the commands. It needs `kubectl`, a cluster with the JobSet controller, and Python's standard library.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import shlex
import string
import subprocess
import sys
import time
from collections.abc import Sequence

HERE = pathlib.Path(__file__).resolve().parent
ACTIONS = ("up", "status", "logs", "delete")
FINAL = ("Completed", "Failed")


def manifest(args: argparse.Namespace) -> str:
    """The JobSet, with the names filled in."""
    template = string.Template((HERE / f"jobset_{args.kind}.yaml").read_text(encoding="utf-8"))
    command = [*args.command, f"--workdir=/storage/{args.name}"]
    # A JSON list is a YAML list, whatever is in its strings.
    return template.substitute(vars(args) | {"command": json.dumps(command)})


def commands(args: argparse.Namespace) -> dict[str, list[str]]:
    """What each action asks of kubectl."""
    base = ["kubectl", *([f"--namespace={args.namespace}"] if args.namespace else [])]
    pods = f"--selector=jobset.sigs.k8s.io/jobset-name={args.name}"
    return {
        "up": [*base, "apply", "--filename=-"],
        "status": [*base, "get", "jobset", args.name, "--output=json"],
        "logs": [*base, "logs", pods, "--follow", "--prefix", "--max-log-requests=1000"],
        "delete": [*base, "delete", "jobset", args.name, "--ignore-not-found"],
    }


def call(args: argparse.Namespace, command: Sequence[str], *, stdin: str = "") -> tuple[int, str]:
    """Calls kubectl, several times if its server does not answer; returns status and output."""
    for attempt in range(args.retries + 1):
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        lost = re.search("refused|timeout|timed out|unavailable|reset", done.stderr, re.IGNORECASE)
        if done.returncode == 0 or not lost or attempt == args.retries:
            sys.stderr.write(done.stderr)
            return done.returncode, done.stdout
        print(f"{done.stderr.strip()}\nTrying again.", file=sys.stderr)
        # Longer and longer, to spare a server that is in trouble.
        time.sleep(args.poll * 2 ** min(attempt, 5))
    raise AssertionError("The loop returns.")


def final_state(text: str) -> str | None:
    """`Completed` or `Failed` of a JobSet as JSON; None while it goes on."""
    for condition in json.loads(text).get("status", {}).get("conditions", []):
        if condition["type"] in FINAL and condition["status"] == "True":
            return str(condition["type"])
    return None


def follow(args: argparse.Namespace) -> int:
    """Prints the logs until the JobSet has ended, through restarts; returns the exit status."""
    asks = commands(args)
    while True:
        status, text = call(args, asks["status"])
        if status:
            return status
        if (state := final_state(text)) is not None:
            print(f"The JobSet {args.name} is {state}.", flush=True)
            return int(state != "Completed")
        # It ends when the pods do: at the end, or because all of them are started again.
        subprocess.run(asks["logs"], check=False)
        # Pods that are not there yet have no logs to wait for, so kubectl returns at once.
        time.sleep(args.poll)


def act(args: argparse.Namespace) -> int:
    """Performs the action."""
    asks = commands(args)
    if args.dry_run:
        if args.action == "up":
            print(manifest(args))
        print(f"+ {shlex.join(asks[args.action])}")
        return 0
    if args.action == "logs":
        return follow(args)
    status, text = call(
        args, asks[args.action], stdin=manifest(args) if args.action == "up" else ""
    )
    if args.action == "status" and status == 0:
        print(final_state(text) or "Running")
        return 0
    print(text, end="")
    if args.action == "up" and status == 0:
        rest = shlex.join([f"--name={args.name}", f"--namespace={args.namespace}"])
        print(f"Follow it: python launch/kubernetes.py logs {rest}")
        print(f"Left behind until deleted: python launch/kubernetes.py delete {rest}")
    return status


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; what comes after `--` is the command."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--name", required=True, help="of the run, the JobSet and the workdir")
    parser.add_argument("--namespace", default="", help="default: kubectl's")
    parser.add_argument("--kind", choices=("tpu", "gpu"), default="tpu")
    parser.add_argument("--image", help="made with launch/Dockerfile")
    parser.add_argument("--nodes", type=int, help="of the JobSet, or of each slice")
    parser.add_argument("--devices", type=int, help="TPU chips or GPUs of a node")
    parser.add_argument("--slices", type=int, default=1, help="TPU: more than one is multislice")
    parser.add_argument("--accelerator", help="TPU: for example tpu-v5-lite-podslice")
    parser.add_argument("--topology", help="TPU: for example 4x4")
    parser.add_argument("--bucket", help="TPU: of Cloud Storage, mounted at /storage")
    parser.add_argument("--claim", help="GPU: a ReadWriteMany volume claim, mounted at /storage")
    parser.add_argument("--service-account", default="default", help="that may use the bucket")
    parser.add_argument("--restarts", type=int, default=100, help="after lost nodes (default: 100)")
    parser.add_argument("--retries", type=int, default=5, help="of calls that got no answer")
    parser.add_argument("--poll", type=float, default=10.0, help="seconds between two questions")
    parser.add_argument("--dry-run", action="store_true", help="print, apply nothing")
    parser.epilog = "What comes after -- is the command that all nodes run."
    end = list(argv).index("--") if "--" in argv else len(argv)
    args = parser.parse_args(argv[:end])
    args.command = list(argv[end + 1 :])
    kind = ("accelerator", "topology", "bucket") if args.kind == "tpu" else ("claim",)
    missing = [n for n in ("image", "nodes", "devices", *kind, "command") if not getattr(args, n)]
    if args.action == "up" and missing:
        parser.error(f"up --kind={args.kind} needs {', '.join(missing)}.")
    if any(word.startswith("--workdir") for word in args.command):
        parser.error("The workdir is /storage/NAME: leave --workdir out of the command.")
    return args


if __name__ == "__main__":
    sys.exit(act(parse(sys.argv[1:])))
