"""Trains any number of children on a mesh and returns their rewards."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nasnet_jax.cuda_graphs import compiler_options
from nasnet_jax.data.augment import channel_statistics
from nasnet_jax.data.dataset import Dataset
from nasnet_jax.data.split import hold_out
from nasnet_jax.memory import check_parameters_fit, check_program_fits, memory_of
from nasnet_jax.ranges import STEP
from nasnet_jax.search.budget import make_budget
from nasnet_jax.search.child_program import Children, Control, Data, make_child_program
from nasnet_jax.search.child_result import ChildResult, PausedChild, Span, TrainedChild
from nasnet_jax.search.config import SAVES_MEMORY, search_macro
from nasnet_jax.search.dealing import ahead, deal, share
from nasnet_jax.search.moving import Mover, place, rows_of
from nasnet_jax.search.together import fitted
from nasnet_jax.space import Architecture, cost
from nasnet_jax.supernet import Launch, Room, Supernet


class _Trained(NamedTuple):
    """A launch that was trained: its architectures by device, and what became of them."""

    shared: list[list[Architecture]]
    launches: list[Launch]
    children: Children
    results: list[list[ChildResult]]


class ChildTrainer:
    """The child trainer: in launches, of as many children of similar cost as the devices hold.

    In a pod the mesh spans the devices of all processes, which all hold the data set and call every
    method with the same arguments.

    Attributes:
        budget: What architectures cost and are worth.
        class_names: Of the data set.
        best: Of the children that were trained with `keep_best`, the first with the highest reward;
            None before one.
        compilations: Executables compiled so far; one, whatever is trained.
        compile_seconds: What that took.
        busy_seconds, device_seconds: The devices' time at work and altogether, of which the idle
            share is made.
    """

    def __init__(self, config: ml_collections.ConfigDict, dataset: Dataset, mesh: Mesh) -> None:
        """Places the data on the devices; compiles nothing.

        Raises:
            ValueError: If the images, the held-out part or the batch do not fit each other, or no
                architecture is within the limits.
        """
        child = config.child
        self.mesh = mesh
        self.class_names = dataset.class_names
        self.macro = search_macro(config, dataset.image_shape, dataset.num_classes)
        self.budget = make_budget(config, self.macro)
        device = mesh.local_devices[0]
        platform = device.platform
        config = fitted(config, self.macro, platform=platform, memory=memory_of(device))
        self._program = make_child_program(config, self.macro, platform=platform)
        self._compiler_options = compiler_options(wanted=config.mesh.cuda_graphs, platform=platform)
        size = sum(leaf.size for leaf in jax.tree.leaves(self._program.shapes.params))
        check_parameters_fit(size, mesh, "a smaller child.num_filters or child.num_cells")
        kept, held_out = hold_out(
            len(dataset.train_labels), config.dataset.num_validation, seed=config.seed
        )
        if config.dataset.num_train > len(kept):
            raise ValueError(
                f"dataset.num_train is {config.dataset.num_train}, but only {len(kept)} images of "
                f"{dataset.name!r} remain for training."
            )
        if config.dataset.num_train:
            rng = np.random.default_rng((config.seed, 1))
            kept = np.sort(rng.choice(kept, config.dataset.num_train, replace=False))
        if child.batch_size > len(kept):
            raise ValueError(
                f"child.batch_size is {child.batch_size}, more than the {len(kept)} images of "
                f"{dataset.name!r} that remain for training."
            )
        self.num_validation = len(held_out)
        self.steps_per_epoch = len(kept) // child.batch_size
        steps = max(child.epochs, config.rerank.epochs) * self.steps_per_epoch
        if steps not in STEP:
            raise ValueError(
                f"child.epochs or rerank.epochs are {steps:,} steps of a child; they must be {STEP}."
            )
        filled = -(-len(held_out) // child.batch_size) * child.batch_size
        valid = np.resize(held_out, filled)
        train_images = rows_of(dataset.train_images, kept)
        mean, std = channel_statistics(train_images)
        data = Data(
            train_images=train_images,
            train_labels=rows_of(dataset.train_labels, kept),
            valid_images=rows_of(dataset.train_images, valid),
            valid_labels=rows_of(dataset.train_labels, valid),
            valid_mask=(np.arange(filled) < len(held_out)).astype(np.float32),
            mean=mean,
            std=std,
        )
        self._replicated = NamedSharding(mesh, P())
        self._by_device = NamedSharding(mesh, P("arch"))
        self._data = place(data, self._replicated)
        # Common random numbers: every child has this key.
        key = jax.random.fold_in(jax.random.key(config.seed), 1)
        self._key = place(jax.random.key_data(key), self._replicated)
        self._mover = Mover(mesh, self.solo)
        self.best: TrainedChild | None = None
        self._compiled: jax.stages.Compiled | None = None
        self.compilations = 0
        self.compile_seconds = 0.0
        self.busy_seconds = 0.0
        self.device_seconds = 0.0

    @property
    def supernet(self) -> Supernet:
        """What all children are parts of."""
        return self._program.supernet

    @functools.cached_property
    def solo(self) -> Supernet:
        """The same with room for one child."""
        return dataclasses.replace(self.supernet, room=Room())

    @property
    def training_images(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The uint8 images that train, and their channels' mean and deviation (0 to 255)."""
        data = self._data
        return np.asarray(data.train_images), np.asarray(data.mean), np.asarray(data.std)

    def compile(self) -> jax.stages.Compiled:
        """Compiles the program, once."""
        if self._compiled is None:
            started = time.time()
            devices = self.mesh.shape["arch"]
            tapes = self._tapes([self.supernet.launch([])] * devices)
            children = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(
                    (devices, *x.shape), x.dtype, sharding=self._by_device
                ),
                self._program.shapes,
            )
            function = self._program.sharded(self.mesh)
            control = self._control(first=True, start=0, steps=0, horizon=1, evaluate=False)
            self._compiled = function.lower(
                children, tapes, control, self._key, self._data
            ).compile(compiler_options=self._compiler_options)
            check_program_fits(self._compiled, self.mesh, SAVES_MEMORY)
            self._abstract_children = children
            self.compilations += 1
            self.compile_seconds += time.time() - started
        return self._compiled

    def train(
        self,
        architectures: Sequence[Architecture],
        *,
        epochs: int,
        keep_best: bool = False,
        on_call: Callable[[float, Sequence[ChildResult]], None] = lambda share, finished: None,
    ) -> list[ChildResult]:
        """Trains each architecture from scratch to its end, in its canonical form.

        Args:
            architectures: Any number of them.
            epochs: Of training, also the period of the learning rate's cosine.
            keep_best: Whether `best` is to be the best of them, if it is not better already.
            on_call: Told after every epoch of a launch which share of the work is done, and the
                results of the launches before; what it raises ends the training.

        Returns:
            One result for each architecture, in their order.
        """
        span = Span(0, epochs, epochs)
        return self.train_span(architectures, span, keep_best=keep_best, on_call=on_call)[0]

    def train_span(
        self,
        architectures: Sequence[Architecture],
        span: Span,
        *,
        paused: Sequence[PausedChild] = (),
        pause: int = 0,
        keep_best: bool = False,
        on_call: Callable[[float, Sequence[ChildResult]], None] = lambda share, finished: None,
    ) -> tuple[list[ChildResult], dict[int, PausedChild]]:
        """Trains each architecture through a part of its training.

        A child that is trained part by part becomes the same, bit for bit, wherever the parts are
        trained.

        Args:
            architectures: Any number of them.
            span: The part.
            paused: The children at its begin, in the same order; none where that is 0.
            pause: How many of the best are to be trained on later.
            keep_best: As of `train`.
            on_call: As of `train`.

        Returns:
            The results at the end of the part, and by their numbers those to be trained on, of
            which none diverged.
        """
        canonical = [architecture.canonical() for architecture in architectures]
        costs = [cost(architecture, self.macro).macs for architecture in canonical]
        width = self.mesh.shape["arch"]
        launches = deal(costs, width * self.supernet.room.children)
        results: list[ChildResult | None] = [None] * len(canonical)
        waiting: dict[int, PausedChild] = {}
        dealt = [
            [
                [launch[i] for i in of_device]
                for of_device in share([costs[i] for i in launch], width)
            ]
            for launch in launches
        ]
        prepared = ahead(
            lambda indices: [
                self.supernet.launch([canonical[index] for index in of_device])
                for of_device in indices
            ],
            dealt,
        )
        for number, (indices, on_devices) in enumerate(zip(dealt, prepared, strict=True)):

            def on_epoch(part: float, number: int = number) -> None:
                done = [one for one in results if one is not None]
                on_call((number + part) / len(launches), done)

            trained = self._launch(
                on_devices,
                [[canonical[index] for index in of_device] for of_device in indices],
                span,
                [[paused[index] for index in of_device] for of_device in indices] if paused else [],
                on_epoch,
            )
            for of_device, found in zip(indices, trained.results, strict=True):
                for index, result in zip(of_device, found, strict=True):
                    results[index] = result
            if keep_best:
                self._keep_best(trained)
            best = _best(results, pause)
            waiting = {index: child for index, child in waiting.items() if index in best}
            for device, of_device in enumerate(indices):
                for child, index in enumerate(of_device):
                    if index in best:
                        waiting[index] = self._pause(trained, device, child)
        return [result for result in results if result is not None], waiting

    def _launch(
        self,
        launches: list[Launch],
        shared: list[list[Architecture]],
        span: Span,
        paused: list[list[PausedChild]],
        on_epoch: Callable[[float], None],
    ) -> _Trained:
        """Trains these children on these devices, at the same time."""
        program = self.compile()
        started = time.time()
        tapes = self._tapes(launches)
        children = jax.tree.map(
            lambda x: place(np.zeros(x.shape, x.dtype), self._by_device), self._abstract_children
        )
        if paused:
            # What is nobody's is as in a launch of new children.
            control = self._control(first=True, start=0, steps=0, horizon=1, evaluate=False)
            children, _ = program(children, tapes, control, self._key, self._data)
            for device, of_device in enumerate(paused):
                for child, one in enumerate(of_device):
                    architecture = shared[device][child]
                    children = self._mover.put(
                        children, one, architecture, launches[device], device, child
                    )
        finished = []
        for epoch in range(span.begin, span.end):
            control = self._control(
                first=epoch == 0,
                start=epoch * self.steps_per_epoch,
                steps=self.steps_per_epoch,
                horizon=span.epochs * self.steps_per_epoch,
                evaluate=epoch == span.end - 1,
            )
            called = time.time()
            children, result = program(children, tapes, control, self._key, self._data)
            finished.append(_finish_times(result.correct, called))
            on_epoch((epoch + 1 - span.begin) / (span.end - span.begin))
        self._account(np.array(finished))
        correct, finite = multihost_utils.process_allgather(result, tiled=True)
        seconds = time.time() - started
        results: list[list[ChildResult]] = []
        for device, architectures in enumerate(shared):
            results.append([])
            for child, architecture in enumerate(architectures):
                diverged = not finite[device, child]
                accuracy = 0.0 if diverged else float(correct[device, child]) / self.num_validation
                reward = self.budget.reward(accuracy, self.budget.cost(architecture))
                results[-1].append(
                    ChildResult(reward, accuracy, diverged, seconds, span.end, reward)
                )
        return _Trained(shared, launches, children, results)

    def _keep_best(self, trained: _Trained) -> None:
        """Brings the weights of a launch's best child to the host, if it is better than `best`."""
        results = trained.results
        places = [
            (device, child) for device, found in enumerate(results) for child in range(len(found))
        ]
        device, child = max(places, key=lambda at: results[at[0]][at[1]].reward)
        reward = results[device][child].reward
        if self.best is None or reward > self.best.reward:
            params = self._take(trained, trained.children.params, device, child)
            self.best = TrainedChild(trained.shared[device][child], reward, params)

    def _pause(self, trained: _Trained, device: int, child: int) -> PausedChild:
        """Brings a child to the host, so that it can be trained on."""
        children = (trained.children.params, trained.children.opt_state)
        return PausedChild(*self._take(trained, children, device, child))

    def _take(self, trained: _Trained, tree: Any, device: int, child: int) -> Any:
        architecture, launch = trained.shared[device][child], trained.launches[device]
        return self._mover.take(tree, architecture, launch, device, child)

    def _account(self, finished: np.ndarray) -> None:
        """Adds the seconds `[calls, local devices]` that each device took for a launch's calls."""
        seconds = multihost_utils.process_allgather(finished)  # [processes, calls, devices]
        self.busy_seconds += float(seconds.sum())
        slowest = seconds.max((0, 2)).sum()
        self.device_seconds += float(slowest) * seconds.shape[0] * seconds.shape[2]

    @property
    def idle_share(self) -> float:
        """The share of the devices' time that they waited for a slower one beside them."""
        if self.device_seconds == 0:
            return 0.0
        return 1.0 - self.busy_seconds / self.device_seconds

    def _tapes(self, launches: list[Launch]) -> Any:
        """The tapes of the devices' launches, along a leading axis, on the devices."""
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *(one.tapes for one in launches))
        return place(stacked, self._by_device)

    def _control(
        self, *, first: bool, start: int, steps: int, horizon: int, evaluate: bool
    ) -> Control:
        control = Control(
            first=np.bool_(first),
            start=np.int32(start),
            steps=np.int32(steps),
            horizon=np.int32(horizon),
            evaluate=np.bool_(evaluate),
        )
        return place(control, self._replicated)


def _best(results: Sequence[ChildResult | None], count: int) -> set[int]:
    """The numbers of the best results so far, the first of equals, without what diverged."""
    there = [
        (-result.reward, index)
        for index, result in enumerate(results)
        if result is not None and not result.diverged
    ]
    return {index for _, index in sorted(there)[:count]}


def _finish_times(output: jax.Array, called: float) -> list[float]:
    """Waits for each local device in turn, the cheapest child first, and notes when it was done."""
    finished = []
    for shard in sorted(output.addressable_shards, key=lambda shard: shard.index[0].start or 0):
        shard.data.block_until_ready()
        finished.append(time.time() - called)
    return finished
