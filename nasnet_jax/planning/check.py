"""Whether the program of an experiment compiles for a topology, fits its memory, and keeps its form."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from typing import NamedTuple

import jax
import ml_collections

from nasnet_jax.cuda_graphs import compiler_options
from nasnet_jax.memory import memory_of
from nasnet_jax.planning.conversion import (
    compiled_with_log,
    read_conversion,
    talkative_compiler,
)
from nasnet_jax.planning.gpu_check import GpuStep, gpu_rows, gpu_step
from nasnet_jax.planning.hlo import Program, describe
from nasnet_jax.planning.hlo_text import parse
from nasnet_jax.planning.lowering import lower_search, lower_training, topology_devices
from nasnet_jax.planning.search_size import search_size
from nasnet_jax.planning.topology import Topology
from nasnet_jax.planning.turns import Turns, search_turns, training_turns
from nasnet_jax.platform import usual_arithmetic
from nasnet_jax.search import config as search_config
from nasnet_jax.search.child_program import make_child_program
from nasnet_jax.search.together import fitted
from nasnet_jax.train import config as train_config
from nasnet_jax.train.config import config_macro

WITHOUT_GPU = {"xla_gpu_autotune_level": "0"}
"""Options of compilations for a GPU that is not there: none can be timed."""


class ForGpu(NamedTuple):
    """What there is to a program for GPUs.

    Attributes:
        turns: What its data decides.
        wants_graphs: Whether it should be CUDA graphs altogether.
        options: Of the compiler.
    """

    turns: Turns
    wants_graphs: bool
    options: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Check:
    """What was found, for one device.

    Attributes:
        subject: `search` or `training`.
        where: The topology and the kind of its devices.
        seconds: That compilation took here.
        arguments, temporaries, code, outputs: Bytes; outputs without those that reuse arguments.
        memory: Bytes of the device's memory, or None where that is not known.
        program: What the compiled text says.
        gpu: What a step makes a GPU do; None for other devices.
        problems: Why this would not run as it should; empty if it would.
    """

    subject: str
    where: str
    seconds: float
    arguments: int
    temporaries: int
    code: int
    outputs: int
    memory: int | None
    program: Program
    gpu: GpuStep | None
    problems: tuple[str, ...]

    @property
    def needed(self) -> int:
        """Bytes on a device while the program runs."""
        return self.arguments + self.temporaries + self.code + self.outputs


def is_search(config: ml_collections.ConfigDict) -> bool:
    """Whether a configuration is of a search rather than of a training.

    Raises:
        ValueError: If it is of neither.
    """
    if "child" in config:
        return True
    if "model" in config:
        return False
    raise ValueError("This config has neither `child` (a search) nor `model` (a training).")


@usual_arithmetic()
def check(config: ml_collections.ConfigDict, topology: Topology) -> Check:
    """Compiles the program of an experiment and looks at it; runs nothing.

    Raises:
        ValueError: If the topology or the configuration is none, or they do not fit each other.
    """
    # A TPU's compiler has nothing to say of graphs, and much else.
    with contextlib.nullcontext() if topology.is_tpu else talkative_compiler():
        devices = topology_devices(topology)
        platform, wants_graphs = devices[0].platform, False
        if is_search(config):
            size = search_size(config)
            memory = _memory(topology, devices)
            config = fitted(config, size.macro, platform=platform, memory=memory)
            lowered = lower_search(config, size, devices)
            program = make_child_program(config, size.macro, platform=platform)
            turns = search_turns(program.supernet, size.macro)
            wants_graphs = config.mesh.cuda_graphs
        else:
            lowered = lower_training(config, devices)
            turns = training_turns(config_macro(config))
        options = compiler_options(wanted=wants_graphs, platform=platform)
        if topology.is_gpu:
            options |= WITHOUT_GPU
        return examine(
            lowered,
            subject="search" if is_search(config) else "training",
            where=f"{topology}, {len(devices)} devices ({devices[0].device_kind})",
            memory=_memory(topology, devices),
            gpu=ForGpu(turns, wants_graphs, options) if platform == "gpu" else None,
        )


def examine(
    lowered: jax.stages.Lowered,
    *,
    subject: str,
    where: str,
    memory: int | None,
    gpu: ForGpu | None = None,
) -> Check:
    """Compiles a program and looks at it.

    Args:
        lowered: The program.
        subject: `search`, whose form is checked too, or `training`.
        where: For people.
        memory: Bytes of a device's memory, or None.
        gpu: What else there is to a program for GPUs; None for one for other devices.

    Raises:
        ValueError: If the compiler itself finds that the program does not fit, as the TPU's does.
    """
    started = time.time()
    try:
        if gpu is None:
            compiled, log = lowered.compile(), ""
        else:
            compiled, log = compiled_with_log(lowered, gpu.options)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        saving = {"search": search_config.SAVES_MEMORY, "training": train_config.SAVES_MEMORY}
        raise ValueError(
            f"The {subject}'s program does not fit {where}: {str(error).splitlines()[0]} Try "
            f"{saving[subject]}, more devices for a training, or another chip."
        ) from error
    seconds = time.time() - started
    sizes, text = compiled.memory_analysis(), compiled.as_text()
    if sizes is None or text is None:
        raise ValueError(f"JAX tells nothing about programs compiled for {where}.")
    module = parse(text)
    program = describe(module)
    result = Check(
        subject=subject,
        where=where,
        seconds=seconds,
        arguments=sizes.argument_size_in_bytes,
        temporaries=sizes.temp_size_in_bytes,
        code=sizes.generated_code_size_in_bytes,
        outputs=max(sizes.output_size_in_bytes - sizes.alias_size_in_bytes, 0),
        memory=memory,
        program=program,
        gpu=None,
        problems=(),
    )
    problems = _form_problems(program) if subject == "search" else []
    if gpu is not None:
        conversion = read_conversion(log)
        step = gpu_step(module, gpu.turns, conversion, wants_graphs=gpu.wants_graphs)
        result = dataclasses.replace(result, gpu=step)
        problems += step.problems
    if memory is not None and result.needed > memory:
        problems.append(
            f"It needs {_megabytes(result.needed)} on each device, which has {_megabytes(memory)}."
        )
    return dataclasses.replace(result, problems=tuple(problems))


def _form_problems(program: Program) -> list[str]:
    """Where a search's program is not what makes it quick: one branch of 13, and no exchange."""
    problems = []
    if not program.conditionals:
        problems.append("No conditional is left: every operation would be computed for each block.")
    if gathers := program.collectives.get("all-gather"):
        problems.append(f"{gathers} all-gathers: children are computed together, not apart.")
    if program.collectives_in_branches:
        names = ", ".join(sorted(set(program.collectives_in_branches)))
        problems.append(f"{names} inside a branch: devices with other branches would hang.")
    return problems


def _memory(topology: Topology, devices: list[jax.Device]) -> int | None:
    """Bytes of memory of a device."""
    if topology.chip is not None:
        return topology.chip.memory * topology.num_devices // len(devices)
    return memory_of(devices[0])


def check_text(result: Check) -> str:
    """The findings for people."""
    memory = "not known" if result.memory is None else _megabytes(result.memory)
    program = result.program
    exchanges = ", ".join(f"{count} {name}" for name, count in program.collectives.items())
    rows = [
        ("program", result.subject),
        ("topology", result.where),
        ("compile time", f"{result.seconds:.0f} s on this machine"),
        ("arguments", _megabytes(result.arguments)),
        ("temporaries", _megabytes(result.temporaries)),
        ("code", _megabytes(result.code)),
        ("new outputs", _megabytes(result.outputs)),
        ("needed / memory", f"{_megabytes(result.needed)} / {memory}"),
        ("conditionals", str(program.conditionals)),
        ("collectives", exchanges or "none"),
        ("copies", f"{_megabytes(program.copy_bytes)}, each counted once"),
    ]
    if result.gpu is not None:
        rows += gpu_rows(result.gpu)
    lines = [f"{name:<16}{value}" for name, value in rows]
    lines.append("largest buffers (with padding, share of it that is padding):")
    for buffer in program.buffers:
        share = 1 - buffer.bytes / buffer.padded_bytes if buffer.padded_bytes else 0.0
        lines.append(f"  {_megabytes(buffer.padded_bytes):>12} {share:4.0%}  {buffer.shape}")
    lines += [f"PROBLEM: {problem}" for problem in result.problems]
    return "\n".join(lines)


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
