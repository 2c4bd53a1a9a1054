"""Which loops and conditionals XLA makes part of a CUDA graph, by the log of its own pass."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping

import jax

from nasnet_jax.planning.hlo_text import Module

_PASS = "command_buffer_conversion_pass"
_LOGGED = re.compile(rf"^\w\d+ .*{_PASS}\.cc:\d+\] (.*)$")
_CREATED = "Creating command buffer thunk with the following thunks: "
_CONFIGURED = "CommandBufferConfig: "
_VARIABLES = {
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "TF_CPP_VMODULE": f"{_PASS}=5",
}
"""For the compiled part of JAX that compiles for GPUs; it reads them once, when it is loaded."""


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What the pass says.

    Attributes:
        graphs: How many graphs there are.
        members: The names of the instructions of which they consist, without those inside these.
        reasons: Why others are none, in the compiler's words, and how often.
    """

    graphs: int
    members: frozenset[str]
    reasons: Mapping[str, int]

    def asked(self, module: Module) -> tuple[set[str], set[str]]:
        """The names of the program's loops and conditionals: those in graphs, and all others."""
        every = _asking(module, module.computations)
        inside: set[str] = set()
        for instructions in module.computations.values():
            for one in instructions:
                if one.name in every and one.name in self.members:
                    inside |= {one.name} | _asking(module, module.reachable(one.called))
        return inside, every - inside


def _asking(module: Module, computations: Mapping[str, object] | set[str]) -> set[str]:
    return {
        one.name
        for name in computations
        for one in module.computations.get(name, ())
        if one.op in ("while", "conditional")
    }


def read_conversion(log: str) -> Conversion | None:
    """Reads the log of a compilation; None if the pass says nothing in it."""
    lines = [match[1] for line in log.splitlines() if (match := _LOGGED.match(line))]
    if not lines:
        return None
    created = [line.removeprefix(_CREATED) for line in lines if line.startswith(_CREATED)]
    reasons = [line for line in lines if not line.startswith(_CREATED) and _CONFIGURED not in line]
    members = frozenset(name.strip() for names in created for name in names.split(","))
    return Conversion(len(created), members, collections.Counter(reasons))


@contextlib.contextmanager
def talkative_compiler() -> Iterator[None]:
    """Makes the compiler for GPUs log what it decides, if it is loaded inside the block."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(_VARIABLES)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def compiled_with_log(
    lowered: jax.stages.Lowered, options: Mapping[str, str]
) -> tuple[jax.stages.Compiled, str]:
    """Compiles a program and keeps the compiler's log, which it writes to stderr."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            compiled = lowered.compile(compiler_options=dict(options))
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            log = file.read().decode(errors="replace")
    return compiled, log
