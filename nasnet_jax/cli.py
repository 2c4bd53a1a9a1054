"""The commands under one name: `nasnet search ...` is `python -m nasnet_jax.search ...`."""

from __future__ import annotations

import difflib
import runpy
import sys

from nasnet_jax import __version__

COMMANDS = {
    "search": "searches for an architecture",
    "train": "trains the network of an architecture",
    "evaluate": "measures a trained network on a data set",
    "predict": "classifies image files",
    "serve": "answers images over HTTP",
    "export": "writes a network for another runtime",
    "import_weights": "reads published weights of NASNet-A",
    "report": "writes the report of searches",
    "draw": "draws an architecture",
    "describe": "says what networks cost",
    "data": "writes images of a data set as files",
    "plan": "says what an experiment would take",
    "compile_check": "compiles an experiment for devices that need not be there",
}
"""What each command does; each is a module of this package."""


def main() -> None:
    """Runs the command that the first word names, as if its module had been started."""
    words = sys.argv[1:]
    if not words or words[0] in ("help", "-h", "--help"):
        print(usage())
        return
    if words[0] == "--version":
        print(__version__)
        return
    name = words[0].replace("-", "_")
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f" Is {near[0]} meant?" if near else ""
        sys.exit(f"Error: there is no command {words[0]!r}.{hint} nasnet --help lists them.")
    sys.argv[:2] = [f"nasnet {words[0]}"]
    runpy.run_module(f"nasnet_jax.{name}", run_name="__main__", alter_sys=True)


def usage() -> str:
    """What the commands are."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {purpose}" for name, purpose in COMMANDS.items()]
    head = "nasnet COMMAND [OPTION...]; nasnet COMMAND --help shows the options of a command."
    return "\n".join([head, "", *lines])
