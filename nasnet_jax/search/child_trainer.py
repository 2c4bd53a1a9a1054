"""Trains any number of children on a mesh and returns their rewards."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nasnet_jax.data.augment import channel_statistics
from nasnet_jax.data.dataset import Dataset
from nasnet_jax.data.split import hold_out
from nasnet_jax.memory import check_parameters_fit
from nasnet_jax.nn.supernet import Supernet, architecture_arrays
from nasnet_jax.platform import find_devices
from nasnet_jax.ranges import STEP
from nasnet_jax.search.child_program import Control, Data, make_child_program
from nasnet_jax.search.config import search_macro
from nasnet_jax.search.dealing import deal
from nasnet_jax.space import Architecture, Cost, cost

ALIGNMENT = 64
"""Bytes, of XLA:CPU's buffers."""


class ChildResult(NamedTuple):
    """What became of a child.

    Attributes:
      reward: accuracy on the held-out images, from 0 to 1; 0 if it diverged.
      diverged: whether a logit was not finite.
      seconds: wall time of its row, shared with the children beside it.
    """

    reward: float
    diverged: bool
    seconds: float


class TrainedChild(NamedTuple):
    """A child with its weights.

    Attributes:
      architecture: in its canonical form.
      reward: as of `ChildResult`.
      parameters: of the supernet, NumPy arrays, which all processes of a pod have.
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
    """The child trainer: one child per device at a time, in rows of similar cost.

    In a pod the mesh spans the devices of all processes, which all hold the data set and call every
    method with the same arguments.

    Attributes:
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
          ValueError: if the images, the held-out part or the batch do not fit each other.
        """
        child = config.child
        self.mesh = mesh
        self.class_names = dataset.class_names
        self.macro = search_macro(config, dataset.image_shape, dataset.num_classes)
        self._program = make_child_program(config, self.macro, platform=mesh.devices.flat[0].platform)
        (size,) = self._program.shapes.parameters.shape
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
        self._by_child = NamedSharding(mesh, P("arch"))
        self._data = _place(data, self._replicated)
        # Common random numbers: every child has this key.
        key = jax.random.fold_in(jax.random.key(config.seed), 1)
        self._key = _place(jax.random.key_data(key), self._replicated)
        self._num_blocks = config.num_blocks
        # Only the row's best leaves the devices. Its index is data.
        self._pick = jax.jit(
            lambda parameters, index: parameters[index], out_shardings=self._replicated
        )
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

    @property
    def training_images(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The uint8 images that train, and their channels' mean and deviation (0 to 255)."""
        data = self._data
        return np.asarray(data.train_images), np.asarray(data.mean), np.asarray(data.deviation)

    def cost(self, architecture: Architecture) -> Cost:
        """What a child of this architecture costs."""
        return cost(architecture, self.macro)

    def compile(self) -> jax.stages.Compiled:
        """Compiles the program, once."""
        if self._compiled is None:
            started = time.time()
            rows = self.mesh.shape["arch"]
            example = Architecture.from_decisions(np.zeros(10 * self._num_blocks, np.int32))
            arrays = self._stack([example] * rows)
            children = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct((rows, *x.shape), x.dtype, sharding=self._by_child),
                self._program.shapes,
            )
            function = self._program.sharded(self.mesh)
            control = self._control(first=True, start=0, steps=0, horizon=1, evaluate=False)
            self._compiled = function.lower(
                children, arrays, control, self._key, self._data
            ).compile()
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
          on_call: told after every epoch of a row which share of the work is done, and the results
            of the rows before; what it raises ends the training.

        Returns:
          One result for each architecture, in their order.
        """
        canonical = [architecture.canonical() for architecture in architectures]
        costs = [self.cost(architecture).macs for architecture in canonical]
        rows = deal(costs, self.mesh.shape["arch"])
        results: list[ChildResult | None] = [None] * len(canonical)
        for number, row in enumerate(rows):

            def on_epoch(share: float, number: int = number) -> None:
                on_call((number + share) / len(rows), [one for one in results if one is not None])

            children = [canonical[index] for index in row]
            trained = self._train_row(children, epochs, keep_best, on_epoch)
            for index, result in zip(row, trained, strict=True):
                results[index] = result
        return [result for result in results if result is not None]

    def _train_row(
        self,
        row: list[Architecture],
        epochs: int,
        keep_best: bool,
        on_epoch: Callable[[float], None],
    ) -> list[ChildResult]:
        program = self.compile()
        started = time.time()
        # A short row is filled up with its last child, whose copies are thrown away.
        arrays = self._stack(row + [row[-1]] * (self.mesh.shape["arch"] - len(row)))
        children = jax.tree.map(
            lambda x: _place(np.zeros(x.shape, x.dtype), self._by_child), self._abstract_children
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
            children, result = program(children, arrays, control, self._key, self._data)
            finished.append(_finish_times(result.correct, called))
            on_epoch((epoch + 1) / epochs)
        self._account(np.array(finished))
        correct, finite = multihost_utils.process_allgather(result, tiled=True)
        seconds = time.time() - started
        results = []
        for index in range(len(row)):
            diverged = not finite[index]
            reward = 0.0 if diverged else float(correct[index]) / self.num_validation
            results.append(ChildResult(reward, diverged, seconds))
        if keep_best:
            best = max(range(len(row)), key=lambda index: results[index].reward)
            if self.best is None or results[best].reward > self.best.reward:
                vector = np.asarray(self._pick(children.parameters, np.int32(best)))
                parameters = _unraveled(vector, self.supernet.shapes)
                self.best = TrainedChild(row[best], results[best].reward, parameters)
        return results

    def _account(self, finished: np.ndarray) -> None:
        """Adds the seconds `[calls, local devices]` that each device took for a row's calls."""
        seconds = multihost_utils.process_allgather(finished)  # [processes, calls, devices]
        self.busy_seconds += float(seconds.sum())
        slowest = seconds.max((0, 2)).sum()
        self.device_seconds += float(slowest) * seconds.shape[0] * seconds.shape[2]

    @property
    def idle_share(self) -> float:
        """The share of the devices' time that they waited for a slower child of their row."""
        if self.device_seconds == 0:
            return 0.0
        return 1.0 - self.busy_seconds / self.device_seconds

    def _stack(self, row: list[Architecture]) -> object:
        arrays = [architecture_arrays(architecture) for architecture in row]
        return _place(jax.tree.map(lambda *x: np.stack(x), *arrays), self._by_child)

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


def _unraveled(vector: np.ndarray, shapes: Any) -> Any:
    """The tree of arrays of these shapes that `ravel_pytree` made the vector of."""
    leaves, tree = jax.tree.flatten(shapes)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = np.split(vector, ends[:-1])
    return jax.tree.unflatten(
        tree, [p.reshape(x.shape) for p, x in zip(parts, leaves, strict=True)]
    )


def _finish_times(output: jax.Array, called: float) -> list[float]:
    """Waits for each local device in turn, the cheapest child first, and notes when it was done."""
    finished = []
    for shard in sorted(output.addressable_shards, key=lambda shard: shard.index[0].start or 0):
        shard.data.block_until_ready()
        finished.append(time.time() - called)
    return finished
