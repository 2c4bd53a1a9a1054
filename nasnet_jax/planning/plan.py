"""What a search or a training would take on a topology: time, devices, disk, money."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import ml_collections
import numpy as np

from nasnet_jax.planning.data_size import data_size
from nasnet_jax.planning.gpu_time import child_step_seconds
from nasnet_jax.planning.schedule import Schedule, deal_by_cost, run_rows
from nasnet_jax.planning.search_size import SearchSize, search_size
from nasnet_jax.planning.speed import (
    EVALUATION,
    PASSES,
    Measurement,
    Speed,
    calibration_architectures,
    child_seconds,
    data_sheet_speed,
    fit_speed,
    held_out_architectures,
    measure,
)
from nasnet_jax.planning.topology import Topology
from nasnet_jax.planning.work import child_work
from nasnet_jax.platform import usual_arithmetic
from nasnet_jax.search.history import Entry, History, Status
from nasnet_jax.search.rungs import epochs_of_rungs
from nasnet_jax.search.strategies import make_strategy
from nasnet_jax.search.together import fitted
from nasnet_jax.space import choices, cost, decision_kinds, sample_architecture
from nasnet_jax.train.config import check_config, config_architecture, config_macro

SIMULATED_BATCHES = 20
PAPER_CHILDREN = 20_000
PAPER_GPU_DAYS = 2_000
"""Section 4: 500 P100s for four days, about 20,000 children."""

CALIBRATION_STEPS = 8


@dataclasses.dataclass(frozen=True)
class SearchPlan:
    """What a search would take.

    Attributes:
        topology: On which devices.
        num_devices: How many.
        children_at_once: As many as train at the same time, each on `mesh.data` devices.
        num_children: In the search, without the re-ranking.
        children_per_batch: Between two updates of the controller.
        speed: Seconds for the work of a child.
        child_seconds: Of the mean child on one device.
        launching_seconds: Of these, a GPU's for launching kernels and waiting for its host; 0 elsewhere.
        lock_step, dealt: A batch of children in the order of proposal, and as it is dealt.
        search_hours, rerank_hours: Of all devices at work together.
        checkpoint_bytes: Of the last checkpoint, the largest.
    """

    topology: str
    num_devices: int
    children_at_once: int
    num_children: int
    children_per_batch: int
    speed: Speed
    child_seconds: float
    launching_seconds: float
    lock_step: Schedule
    dealt: Schedule
    search_hours: float
    rerank_hours: float
    checkpoint_bytes: int

    @property
    def children_per_hour(self) -> float:
        """On all devices."""
        return self.num_children / self.search_hours

    @property
    def device_hours(self) -> float:
        """Search and re-ranking, idle time included, since it is paid for."""
        return (self.search_hours + self.rerank_hours) * self.num_devices


def plan_search(
    config: ml_collections.ConfigDict, topology: Topology, *, speed: Speed, num_devices: int
) -> SearchPlan:
    """Simulates batches of sampled architectures.

    Args:
        config: Of the search.
        topology: For people.
        speed: Of one device.
        num_devices: Of the topology; with `mesh.data` above 1, so many work on one child.

    Raises:
        ValueError: If the configuration does not fit its data set or the devices.
    """
    size, child = search_size(config), config.child
    if topology.chip is not None:
        platform = "gpu" if topology.is_gpu else "tpu"
        memory = topology.chip.memory
        config = fitted(config, size.macro, platform=platform, memory=memory)
    shards = config.mesh.data
    width = num_devices // shards
    if width * shards != num_devices:
        raise ValueError(f"mesh.data={shards} does not divide the {num_devices} devices.")
    rng = np.random.default_rng(0)
    per_batch = config.children_per_batch
    drawn = [
        sample_architecture(rng, config.num_blocks).canonical()
        for _ in range(SIMULATED_BATCHES * per_batch)
    ]
    steps = child.epochs * size.steps + EVALUATION * size.evaluations
    launching = steps * child_step_seconds(config, size.macro) if topology.is_gpu else 0.0
    times = [
        launching
        + child_seconds(
            speed,
            child_work(one, size.macro),
            size,
            batch_size=child.batch_size,
            epochs=child.epochs,
        )
        / shards
        for one in drawn
    ]
    macs = [cost(one, size.macro).macs for one in drawn]
    starts = range(0, len(drawn), per_batch)
    lock_step = _mean([run_rows(times[at : at + per_batch], width) for at in starts])
    dealt = _mean(
        [
            deal_by_cost(times[at : at + per_batch], macs[at : at + per_batch], width)
            for at in starts
        ]
    )
    batches = config.num_children / per_batch
    halved = epochs_of_rungs(per_batch, child.epochs, config.halving.rungs, config.halving.keep)
    share = sum(halved) / (per_batch * child.epochs)
    reranked = math.ceil(config.rerank.top_k / per_batch)
    longer = config.rerank.epochs / child.epochs
    return SearchPlan(
        topology=str(topology),
        num_devices=num_devices,
        children_at_once=width,
        num_children=config.num_children,
        children_per_batch=per_batch,
        speed=speed,
        child_seconds=float(np.mean(times)),
        launching_seconds=launching,
        lock_step=lock_step,
        dealt=dealt,
        search_hours=batches * dealt.seconds * share / 3600,
        rerank_hours=reranked * dealt.seconds * longer / 3600,
        checkpoint_bytes=search_checkpoint_bytes(config),
    )


def search_checkpoint_bytes(config: ml_collections.ConfigDict) -> int:
    """Bytes of a search's last checkpoint: the strategy's state and the whole history."""
    strategy = make_strategy(
        config.strategy, choices(config.num_blocks), decision_kinds(config.num_blocks)
    )
    state = jax.eval_shape(strategy.init, jax.eval_shape(lambda: jax.random.key(0)))
    history = History(len(strategy.choices))
    decisions = np.zeros(len(strategy.choices), np.int32)
    history.append(Entry(0, decisions, 0.0, Status.TRAINED, 1, 1, 1.0, 0.0, 0.0, 1, 0.0))
    entry = sum(array.nbytes for array in history.to_arrays().values())
    return _bytes_of(state) + entry * config.num_children


def plan_text(plan: SearchPlan, *, price: float | None) -> str:
    """The plan for people.

    Args:
        plan: Of a search.
        price: Of one device for an hour, in any currency.
    """
    work_days = plan.child_seconds * PAPER_CHILDREN / 86_400
    rows = [
        ("topology", f"{plan.topology}, {plan.num_devices} devices"),
        ("speed", plan.speed.source),
        ("a child", f"{_duration(plan.child_seconds)} on one device, on average"),
        *_launching_rows(plan),
        ("children per hour", f"{plan.children_per_hour:,.0f}"),
        ("search", f"{plan.search_hours:,.2f} hours for {plan.num_children:,} children"),
        ("re-ranking", f"{plan.rerank_hours:,.2f} hours"),
        (
            "device-hours",
            f"{plan.device_hours:,.1f}, idle ones included "
            f"({plan.device_hours / 24:,.1f} device-days)",
        ),
        (
            "beside the paper",
            f"{work_days:,.1f} device-days of work for its {PAPER_CHILDREN:,} children; it took "
            f"{PAPER_GPU_DAYS:,} GPU-days (P100)",
        ),
        ("idle share", f"{plan.dealt.idle_share:.1%} as dealt, {plan.lock_step.idle_share:.1%} in "
         "the order of proposal"),
        ("last checkpoint", f"{plan.checkpoint_bytes / 1e6:,.1f} MB"),
    ]  # fmt: skip
    if price is not None:
        rows.append(("price", f"{price * plan.device_hours:,.2f} at {price:g} a device-hour"))
    lines = [f"{name:<18}{value}" for name, value in rows]
    rows_in_batch = math.ceil(plan.children_per_batch / plan.children_at_once)
    filling = rows_in_batch * plan.children_at_once
    if plan.children_per_batch < filling:
        lines.append(
            f"NOTE: a batch has {plan.children_per_batch} children where {filling} would take as long: "
            f"{1 - plan.children_per_batch / filling:.0%} of the devices' time goes to none. "
            f"--config.children_per_batch={filling} fills them; the controller still learns from "
            "minibatches of strategy.minibatch."
        )
    return "\n".join(lines)


def _launching_rows(plan: SearchPlan) -> list[tuple[str, str]]:
    if not plan.launching_seconds:
        return []
    return [
        (
            "of that, asking",
            f"{_duration(plan.launching_seconds)}: kernels launched and the host waited for, estimated "
            "by counts of compiled programs and few measurements of an H200",
        )
    ]


def training_text(
    config: ml_collections.ConfigDict, topology: Topology, *, price: float | None
) -> str:
    """What a training would take by the data sheet; its input pipeline is not considered."""
    if topology.chip is None:
        raise ValueError("A training is planned for a chip, not for local: give --topology.")
    check_config(config)
    macro, devices = config_macro(config), topology.num_devices
    architecture = config_architecture(config)
    counted = cost(architecture, macro)
    images = config.epochs * data_size(config.dataset).num_train
    speed = data_sheet_speed(topology.chip, num_filters=macro.num_filters)
    once = speed.seconds_per_image(child_work(architecture, macro))
    # With remat the forward pass is computed twice.
    hours = images * once * ((PASSES + 1) / PASSES if config.remat else 1) / devices / 3600
    # Parameters, the optimizer's one copy of them (two of RMSProp), and moving averages.
    copies = 2 + (config.optimizer.name == "rmsprop") + (config.ema_decay > 0)
    rows = [
        ("topology", f"{topology}, {devices} devices"),
        ("speed", speed.source),
        ("training", f"{hours:,.2f} hours for {images:,.0f} images"),
        ("device-hours", f"{hours * devices:,.1f} ({hours * devices / 24:,.1f} device-days)"),
        ("a checkpoint", f"{4 * copies * counted.variables / 1e6:,.1f} MB"),
    ]
    if price is not None:
        rows.append(("price", f"{price * hours * devices:,.2f} at {price:g} a device-hour"))
    return "\n".join(f"{name:<18}{value}" for name, value in rows)


@usual_arithmetic()
def calibrate(
    config: ml_collections.ConfigDict, size: SearchSize
) -> tuple[Speed, list[tuple[Measurement, float]]]:
    """Measures this machine's speed, and checks it on children that it was not measured with.

    Returns:
        The speed, and for each of a small, a middling and a large child its measurement with the
        seconds for an image that the speed predicts.
    """
    known = calibration_architectures(config.num_blocks)
    unseen = held_out_architectures(config.num_blocks, size.macro)
    found = measure(config, size.macro, [*known, *unseen], steps=CALIBRATION_STEPS)
    speed = fit_speed(found[: len(known)])
    return speed, [(one, speed.seconds_per_image(one.work)) for one in found[len(known) :]]


def calibration_text(checks: list[tuple[Measurement, float]]) -> str:
    """The check of a calibration for people."""
    lines = ["calibrated; children that it has not seen, milliseconds for a trained image:"]
    for measured, predicted in checks:
        lines.append(
            f"  {measured.name:<16} measured {measured.seconds * 1e3:8.3f}, predicted "
            f"{predicted * 1e3:8.3f} ({predicted / measured.seconds - 1:+.0%})"
        )
    return "\n".join(lines)


def search_speed(config: ml_collections.ConfigDict, topology: Topology) -> Speed:
    """The speed of the topology's chip by its data sheet.

    Raises:
        ValueError: For `local`, which has no data sheet.
    """
    if topology.chip is None:
        raise ValueError("There is no data sheet of local: measure it with --calibrate.")
    return data_sheet_speed(
        topology.chip,
        num_filters=config.child.num_filters,
        bytes_of_number=2 if config.child.bfloat16 else 4,
    )


def _mean(schedules: list[Schedule]) -> Schedule:
    """Batches one after the other: mean time, and the idle share of all their time."""
    seconds = np.array([one.seconds for one in schedules])
    idle = np.array([one.idle_share for one in schedules])
    return Schedule(float(seconds.mean()), float((idle * seconds).sum() / seconds.sum()))


def _bytes_of(tree: Any) -> int:
    return sum(
        math.prod(leaf.shape) * (8 if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
                                 else leaf.dtype.itemsize)
        for leaf in jax.tree.leaves(tree)
    )  # fmt: skip


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"
