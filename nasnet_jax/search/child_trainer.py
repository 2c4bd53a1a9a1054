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
from nasnet_jax.memory import check_parameters_fit, check_program_fits
from nasnet_jax.platform import find_devices
from nasnet_jax.ranges import STEP
from nasnet_jax.search.budget import make_budget
from nasnet_jax.search.child_program import Control, Data, make_child_program
from nasnet_jax.search.config import SAVES_MEMORY, search_macro
from nasnet_jax.search.dealing import deal, share
from nasnet_jax.space import Architecture, cost
from nasnet_jax.supernet import Launch, OneChild, Parameters, Room, Supernet, places_alone

ALIGNMENT = 64
"""Bytes, of XLA:CPU's buffers."""


class ChildResult(NamedTuple):
    """What became of a child.

    Attributes:
      reward: what the accuracy is worth at the network's cost (`nasnet_jax.search.budget`).
      accuracy: on the held-out images, from 0 to 1; 0 if it diverged.
      diverged: whether a logit was not finite.
      seconds: wall time of its row, shared with the children beside it.
    """

    reward: float
    accuracy: float
    diverged: bool
    seconds: float


class TrainedChild(NamedTuple):
    """A child with its weights.

    Attributes:
      architecture: in its canonical form.
      reward: as of `ChildResult`.
      parameters: of `ChildTrainer.solo`, NumPy arrays, which all processes of a pod have.
    """

    architecture: Architecture
    reward: float
    parameters: Any


def make_mesh(arch: int, data: int) -> Mesh:
    """A mesh `('arch', 'data')` over all devices.

    Raises:
      ValueError: if the devices do not fill it.
    """
    devices = find_devices()
    if len(devices) % data:
        raise ValueError(
            f"mesh.data={data} does not divide the {len(devices)} devices that JAX sees "
            f"({devices[0].platform}). Set it to a number that does, or to 1."
        )
    if arch == -1:
        arch = len(devices) // data
    if arch * data != len(devices):
        raise ValueError(
            f"mesh.arch={arch} times mesh.data={data} does not make the {len(devices)} devices "
            f"that JAX sees ({devices[0].platform}). Set mesh.arch=-1 to use what is there."
        )
    return Mesh(np.array(devices).reshape(arch, data), ("arch", "data"))


class ChildTrainer:
    """The child trainer: in launches, of as many children of similar cost as the devices hold.

    In a pod the mesh spans the devices of all processes, which all hold the data set and call every
    method with the same arguments.

    Attributes:
      budget: what architectures cost and are worth.
      class_names: of the data set.
      best: of the children that were trained with `keep_best`, the first with the highest reward;
        None before one.
      compilations: executables compiled so far; one, whatever is trained.
      compile_seconds: what that took.
      busy_seconds, device_seconds: the devices' time at work and altogether, of which the idle
        share is made.
    """

    def __init__(self, config: ml_collections.ConfigDict, dataset: Dataset, mesh: Mesh) -> None:
        """Places the data on the devices; compiles nothing.

        Raises:
          ValueError: if the images, the held-out part or the batch do not fit each other, or no
            architecture is within the limits.
        """
        child = config.child
        self.mesh = mesh
        self.class_names = dataset.class_names
        self.macro = search_macro(config, dataset.image_shape, dataset.num_classes)
        self.budget = make_budget(config, self.macro)
        self._program = make_child_program(
            config, self.macro, platform=mesh.devices.flat[0].platform
        )
        self._compiler_options = compiler_options(
            wanted=config.mesh.cuda_graphs, platform=mesh.devices.flat[0].platform
        )
        size = sum(leaf.size for leaf in jax.tree.leaves(self._program.shapes.parameters))
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
        train_images = _rows(dataset.train_images, kept)
        mean, deviation = channel_statistics(train_images)
        data = Data(
            train_images=train_images,
            train_labels=_rows(dataset.train_labels, kept),
            valid_images=_rows(dataset.train_images, valid),
            valid_labels=_rows(dataset.train_labels, valid),
            valid_mask=(np.arange(filled) < len(held_out)).astype(np.float32),
            mean=mean,
            deviation=deviation,
        )
        self._replicated = NamedSharding(mesh, P())
        self._by_device = NamedSharding(mesh, P("arch"))
        self._data = _place(data, self._replicated)
        # Common random numbers: every child has this key.
        key = jax.random.fold_in(jax.random.key(config.seed), 1)
        self._key = _place(jax.random.key_data(key), self._replicated)
        # Only a launch's best leaves the devices. Its place is data.
        self._pick = jax.jit(_child_alone, out_shardings=self._replicated)
        self.best: TrainedChild | None = None
        self._compiled: jax.stages.Compiled | None = None
        self.compilations = 0
        self.compile_seconds = 0.0
        self.busy_seconds = 0.0
        self.device_seconds = 0.0

    @property
    def supernet(self) -> Supernet | OneChild:
        """What all children are parts of."""
        return self._program.supernet

    @functools.cached_property
    def solo(self) -> Supernet | OneChild:
        """The same with room for one child."""
        supernet = self.supernet
        if isinstance(supernet, OneChild):
            return supernet
        return dataclasses.replace(supernet, room=Room())

    @property
    def training_images(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The uint8 images that train, and their channels' mean and deviation (0 to 255)."""
        data = self._data
        return np.asarray(data.train_images), np.asarray(data.mean), np.asarray(data.deviation)

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
        """Trains each architecture from scratch, in its canonical form.

        Args:
          architectures: any number of them.
          epochs: of training, also the period of the learning rate's cosine.
          keep_best: whether `best` is to be the best of them, if it is not better already.
          on_call: told after every epoch of a launch which share of the work is done, and the
            results of the launches before; what it raises ends the training.

        Returns:
          One result for each architecture, in their order.
        """
        canonical = [architecture.canonical() for architecture in architectures]
        costs = [cost(architecture, self.macro).macs for architecture in canonical]
        launches = deal(costs, self.mesh.shape["arch"] * self.supernet.room.children)
        results: list[ChildResult | None] = [None] * len(canonical)
        for number, launch in enumerate(launches):

            def on_epoch(part: float, number: int = number) -> None:
                done = [one for one in results if one is not None]
                on_call((number + part) / len(launches), done)

            shared = share([costs[index] for index in launch], self.mesh.shape["arch"])
            indices = [[launch[place] for place in places] for places in shared]
            trained = self._launch(
                [[canonical[index] for index in of_device] for of_device in indices],
                epochs,
                keep_best,
                on_epoch,
            )
            for of_device, found in zip(indices, trained, strict=True):
                for index, result in zip(of_device, found, strict=True):
                    results[index] = result
        return [result for result in results if result is not None]

    def _launch(
        self,
        shared: list[list[Architecture]],
        epochs: int,
        keep_best: bool,
        on_epoch: Callable[[float], None],
    ) -> list[list[ChildResult]]:
        """Trains these children on these devices, at the same time."""
        program = self.compile()
        started = time.time()
        launches = [self.supernet.launch(architectures) for architectures in shared]
        tapes = self._tapes(launches)
        children = jax.tree.map(
            lambda x: _place(np.zeros(x.shape, x.dtype), self._by_device), self._abstract_children
        )
        horizon = epochs * self.steps_per_epoch
        finished = []
        for epoch in range(epochs):
            control = self._control(
                first=epoch == 0,
                start=epoch * self.steps_per_epoch,
                steps=self.steps_per_epoch,
                horizon=horizon,
                evaluate=epoch == epochs - 1,
            )
            called = time.time()
            children, result = program(children, tapes, control, self._key, self._data)
            finished.append(_finish_times(result.correct, called))
            on_epoch((epoch + 1) / epochs)
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
                results[-1].append(ChildResult(reward, accuracy, diverged, seconds))
        if keep_best:
            self._keep_best(shared, results, launches, children.parameters)
        return results

    def _keep_best(
        self,
        shared: list[list[Architecture]],
        results: list[list[ChildResult]],
        launches: list[Launch],
        parameters: Parameters,
    ) -> None:
        """Brings the weights of a launch's best child to the host, if it is better than `best`."""
        places = [
            (device, child) for device, found in enumerate(results) for child in range(len(found))
        ]
        device, child = max(places, key=lambda place: results[place[0]][place[1]].reward)
        architecture, reward = shared[device][child], results[device][child].reward
        if self.best is not None and reward <= self.best.reward:
            return
        stages = places_alone(self.solo, architecture, launches[device], child)
        place = _place((np.int32(device), np.int32(child), stages), self._replicated)
        picked = self._pick(parameters, *place)
        self.best = TrainedChild(architecture, reward, jax.tree.map(np.asarray, picked))

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
        return _place(stacked, self._by_device)

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
        return _place(control, self._replicated)


def _rows(array: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """`array[numbers]` for `_place`, where the devices of a CPU read it instead of copies of it.

    XLA:CPU takes an array over as it is if its address is a multiple of 64.
    """
    shape, size = (len(numbers), *array.shape[1:]), array[0].nbytes * len(numbers)
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    rows = buffer[start : start + size].view(array.dtype).reshape(shape)
    # NumPy would check the numbers in a copy.
    return np.take(array, numbers, axis=0, out=rows, mode="clip")


def _place(tree: Any, sharding: NamedSharding) -> Any:
    """Arrays that every process has whole, onto the devices of all processes."""

    def place(leaf: Any) -> jax.Array:
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(place, tree)


def _child_alone(
    parameters: Parameters, device: jax.Array, child: jax.Array, stages: Any
) -> Parameters:
    """The parameters of one child of one device, in the order in which it has them alone."""
    found = jax.tree.map(lambda leaf, numbers: leaf[device][numbers], parameters.stages, stages)
    return Parameters(parameters.fixed[device, child][None], found)


def _finish_times(output: jax.Array, called: float) -> list[float]:
    """Waits for each local device in turn, the cheapest child first, and notes when it was done."""
    finished = []
    for shard in sorted(output.addressable_shards, key=lambda shard: shard.index[0].start or 0):
        shard.data.block_until_ready()
        finished.append(time.time() - called)
    return finished
