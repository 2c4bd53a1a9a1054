"""What a program compiled for a GPU makes it do in a step, and where that is not as it should be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from nasnet_jax.planning.conversion import Conversion
from nasnet_jax.planning.gpu_time import KERNEL_SECONDS, ROUND_TRIP_SECONDS, launching_seconds
from nasnet_jax.planning.hlo_text import Module
from nasnet_jax.planning.launches import (
    Counter,
    Launches,
    copies_in_tape_loops,
    waits_in_tape_loops,
    written_whole,
)
from nasnet_jax.planning.turns import WORDS, Turns

_SHOWN = 6
"""Of a list, at most, in a line for people."""


@dataclasses.dataclass(frozen=True)
class GpuStep:
    """A step on a GPU.

    Attributes:
        turns: What its data decides, by which its parts are weighted.
        launches: What it launches and waits for.
        conversion: What became CUDA graphs; None where the compiler did not say.
        in_graphs, on_host: The program's loops and conditionals that did, and those that did not.
        written: Bytes of buffers that are written as wholes outside of loops, by what does it.
        problems: Where it is not as it should be.
    """

    turns: Turns
    launches: Launches
    conversion: Conversion | None
    in_graphs: int
    on_host: int
    written: Mapping[str, int]
    problems: tuple[str, ...]


def gpu_step(
    module: Module, turns: Turns, conversion: Conversion | None, *, wants_graphs: bool
) -> GpuStep:
    """Looks at a compiled program.

    Args:
        module: The program.
        turns: What its data decides.
        conversion: As the compiler's log says.
        wants_graphs: Whether it should be CUDA graphs altogether.
    """
    inside, outside = (conversion or Conversion(0, frozenset(), {})).asked(module)
    launches = Counter(module, turns, inside).of_step()
    problems = []
    most = turns.most_round_trips
    if most is not None and launches.round_trips > most + 0.5:
        waits = _some(waits_in_tape_loops(module, turns))
        problems.append(
            f"A step waits for the host {launches.round_trips:,.0f} times where {most:,} are needed"
            + (f", in loops over chunks for {waits}." if waits else ".")
        )
    if copies := copies_in_tape_loops(module, turns):
        problems.append(f"Whole buffers are copied in each turn of a loop: {_some(copies)}.")
    if wants_graphs and conversion is not None and outside:
        problems.append(
            f"mesh.cuda_graphs is set, but {len(outside)} loops and conditionals stay on the host: "
            f"{_some(list(conversion.reasons)) or 'the compiler does not say why'}."
        )
    return GpuStep(
        turns, launches, conversion, len(inside), len(outside),
        written_whole(module, turns), tuple(problems),
    )  # fmt: skip


def gpu_rows(step: GpuStep) -> list[tuple[str, str]]:
    """The findings for people, as rows of two columns."""
    turns, launches = step.turns, step.launches
    share = 1 / (turns.children * turns.cells)
    libraries = [f"{number:,.0f} {name}" for name, number in launches.libraries.items()]
    estimate = launching_seconds(launches)
    rows = [
        (
            "a step",
            f"{launches.kernels:,.0f} kernels, {launches.round_trips:,.0f} round trips to the host, "
            f"for {turns.children} children of {turns.cells} cells",
        ),
        (
            "child and cell",
            f"{launches.kernels * share:.1f} kernels, {launches.round_trips * share:.2f} round trips",
        ),
        ("weighted", WORDS),
        ("of the kernels", ", ".join(libraries) or "none are of cuDNN or cuBLAS"),
        *_written_rows(step.written),
        (
            "launching",
            f"{estimate * 1e3:,.1f} ms a step, {estimate / turns.children * 1e3:,.2f} a child: an "
            f"estimate ({KERNEL_SECONDS * 1e6:g} us a kernel, {ROUND_TRIP_SECONDS * 1e6:g} a round "
            "trip; graphs counted alike)",
        ),
    ]  # fmt: skip
    return rows + _graph_rows(step)


def _written_rows(written: Mapping[str, int]) -> list[tuple[str, str]]:
    largest = sorted(written.items(), key=lambda one: one[1], reverse=True)[:_SHOWN]
    total = f"{sum(written.values()) / 1e9:,.1f} GB a step, outside of loops"
    return [
        ("written whole", total + (", most of it by" if largest else "")),
        *(("", f"{size / 1e9:,.1f} GB {name}") for name, size in largest),
    ]


def _graph_rows(step: GpuStep) -> list[tuple[str, str]]:
    if step.conversion is None:
        return [("CUDA graphs", "the compiler did not say; its program may be from JAX's cache")]
    rows = [
        (
            "CUDA graphs",
            f"{step.conversion.graphs}; {step.in_graphs} loops and conditionals in them, "
            f"{step.on_host} led by the host",
        )
    ]
    if step.on_host:
        rows += [("", f"{number} x {reason}") for reason, number in step.conversion.reasons.items()]
    return rows


def _some(texts: list[str]) -> str:
    more = len(texts) - _SHOWN
    return "; ".join(texts[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
