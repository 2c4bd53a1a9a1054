"""One program trains any children, each as if it were alone."""

from __future__ import annotations

import re

import jax
import ml_collections
import numpy as np
import pytest
from jax.sharding import Mesh

from nasnet_jax.data.builtin import FakeSpec, make_fake
from nasnet_jax.mesh import search_mesh
from nasnet_jax.search.child_result import Span
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.search.config import default_config
from nasnet_jax.search.halving import train_halved
from nasnet_jax.search.rungs import survivors
from nasnet_jax.space import Architecture, Block, Cell, sample_architecture

DATASET = make_fake(FakeSpec(num_train=112, num_test=8, num_classes=3, image_size=8, channels=1))
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute")


def small_config() -> ml_collections.ConfigDict:
    config = default_config()
    config.num_blocks = 2
    config.dataset.num_validation = 44  # no multiple of the batch: the last one is filled up
    config.child.update({"num_cells": 1, "num_filters": 2, "num_reductions": 1, "batch_size": 8})
    config.child.crop_padding = 1
    return config


def make_trainer(config: ml_collections.ConfigDict, *, arch: int, data: int) -> ChildTrainer:
    devices = np.array(jax.devices()[: arch * data]).reshape(arch, data)
    return ChildTrainer(config, DATASET, Mesh(devices, ("arch", "data")))


@pytest.fixture(scope="module")
def trainer() -> ChildTrainer:
    return make_trainer(small_config(), arch=2, data=1)


@pytest.fixture(scope="module")
def data_parallel() -> ChildTrainer:
    return make_trainer(small_config(), arch=1, data=2)


@pytest.fixture(scope="module")
def architectures() -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [sample_architecture(rng, 2) for _ in range(3)]


@pytest.fixture(scope="module")
def results(trainer, architectures):
    """Of three children on two devices, so that the second row is short."""
    return trainer.train(architectures, epochs=2)


def computations(hlo: str) -> dict[str, str]:
    """The text of every computation of a module, by name."""
    found = re.findall(r"^(?:ENTRY )?%?([\w.\-]+) [^\n]*\{\n(.*?)^\}", hlo, re.M | re.S)
    assert found
    return dict(found)


def inside_conditionals(hlo: str) -> str:
    """The text of all computations that branches run, directly or through what they call."""
    texts = computations(hlo)
    todo: list[str] = []
    for text in texts.values():
        for line in text.splitlines():
            if " conditional(" in line:
                part = line.split(" conditional(", 1)[1]
                todo += [name for name in re.findall(r"%([\w.\-]+)", part) if name in texts]
    reached: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += [other for other in re.findall(r"%([\w.\-]+)", texts[name]) if other in texts]
    assert reached
    return "\n".join(texts[name] for name in sorted(reached))


def count(operation: str, hlo: str) -> int:
    return len(re.findall(rf" {operation}(?:-start)?\(", hlo))


def test_operations_are_chosen_at_run_time_and_nothing_is_exchanged(trainer):
    hlo = trainer.compile().as_text()
    # Two normal cells and one reduction cell, forward and backward, switch at least once each.
    assert count("conditional", hlo) >= 6
    # Children have nothing to tell each other, so no device waits for another.
    assert {name: count(name, hlo) for name in COLLECTIVES} == dict.fromkeys(COLLECTIVES, 0)


def test_sharing_a_batch_reduces_outside_of_branches_only(data_parallel):
    hlo = data_parallel.compile().as_text()
    assert count("conditional", hlo) > 0
    assert count("all-reduce", hlo) > 0
    assert count("all-gather", hlo) == 0
    inside = inside_conditionals(hlo)
    assert "dot(" in inside  # the branches hold the operations' arithmetic
    assert {name: count(name, inside) for name in COLLECTIVES} == dict.fromkeys(COLLECTIVES, 0)


def test_sharing_a_batch_trains(data_parallel, architectures):
    (result,) = data_parallel.train(architectures[:1], epochs=16)
    assert not result.diverged
    # Three classes of learnable patterns; chance is a third.
    assert result.reward > 0.45
    assert data_parallel.compilations == 1


def test_rewards_are_shares_of_the_held_out_images(trainer, results):
    assert len(results) == 3
    for result in results:
        assert not result.diverged
        correct = result.reward * trainer.num_validation
        assert correct == pytest.approx(round(correct), abs=1e-4)
        assert 0 < correct <= 44
    assert len({result.reward for result in results}) > 1


def test_neither_place_nor_neighbours_change_a_child(trainer, architectures, results):
    """Reversed, doubled and alone: other rows, other devices, other neighbours."""
    rewards = [result.reward for result in results]
    first, second, third = architectures
    again = trainer.train([third, first, first, second, third], epochs=2)
    expected = [rewards[2], rewards[0], rewards[0], rewards[1], rewards[2]]
    assert [result.reward for result in again] == expected
    for architecture, reward in zip(architectures, rewards, strict=True):
        (alone,) = trainer.train([architecture], epochs=2)
        assert alone.reward == reward


def assert_halving_changes_nothing(trainer: ChildTrainer, children: list[Architecture]) -> None:
    """Whoever goes on ends as without halving, and whoever is stopped was no better at its rung."""
    whole = trainer.train(children, epochs=3)
    first, waiting = trainer.train_span(children, Span(0, 1, 3), pause=len(children))
    assert sorted(waiting) == list(range(len(children)))
    shares: list[float] = []
    found = train_halved(
        trainer,
        children,
        epochs=3,
        rungs=(1, 2),
        keep=0.5,
        on_call=lambda share, finished: shares.append(share),
    )
    counts = [len(children)]
    for _ in range(2):
        counts.append(survivors(counts[-1], 0.5))
    for ends, count in enumerate(counts, 1):
        assert sum(one.epochs >= ends for one in found) == count
    assert [one.first_reward for one in found] == [one.reward for one in first]
    for one, plain in zip(found, whole, strict=True):
        assert one.epochs < 3 or one.reward == plain.reward
        assert one.epochs > 1 or one.reward == one.first_reward
    gone_on = [one.first_reward for one in found if one.epochs > 1]
    assert min(gone_on) >= max(one.first_reward for one in found if one.epochs == 1)
    assert shares == sorted(shares) and shares[-1] == 1


def test_halving_stops_the_worse_and_changes_no_other(trainer, architectures):
    assert_halving_changes_nothing(trainer, architectures)
    assert trainer.compilations == 1


def test_several_children_on_a_device_are_what_each_is_alone():
    """Five on two devices with room for three each, and the same in other places, beside others."""
    config = small_config()
    config.mesh.children_per_device, config.mesh.chunk = 3, 2
    trainer = make_trainer(config, arch=2, data=1)
    rng = np.random.default_rng(0)
    architectures = [sample_architecture(rng, 2) for _ in range(5)]
    rewards = [one.reward for one in trainer.train(architectures, epochs=2, keep_best=True)]
    assert trainer.best is not None and trainer.best.reward == max(rewards)
    weights = trainer.best.params
    again = trainer.train([*architectures[::-1], *architectures[:2]], epochs=2)
    assert [one.reward for one in again] == [*rewards[::-1], *rewards[:2]]
    best = architectures[rewards.index(max(rewards))]
    trainer.best = None
    (alone,) = trainer.train([best], epochs=2, keep_best=True)
    assert alone.reward == max(rewards)
    jax.tree.map(np.testing.assert_array_equal, weights, trainer.best.params)
    assert_halving_changes_nothing(trainer, architectures)
    assert trainer.compilations == 1
    hlo = trainer.compile().as_text()
    assert count("conditional", hlo) >= 6
    assert {name: count(name, hlo) for name in COLLECTIVES} == dict.fromkeys(COLLECTIVES, 0)


def test_swapped_halves_of_an_addition_are_the_same_child(trainer):
    def cell(swap: bool) -> Cell:
        halves = [(0, "sep_conv_3x3"), (1, "conv_1x1")]
        (left, left_op), (right, right_op) = reversed(halves) if swap else halves
        last = Block(2, 0, "max_pool_3x3", "conv_3x3", combine="concat")
        return Cell((Block(left, right, left_op, right_op), last))

    pair = [Architecture(cell(swap), cell(swap)) for swap in (False, True)]
    assert pair[0] != pair[1]
    one, other = trainer.train(pair, epochs=2)
    assert one.reward == other.reward


def test_one_compilation_for_everything(trainer, architectures, results):
    shares: list[float] = []
    finished: list[int] = []

    def on_call(share, results):
        shares.append(share)
        finished.append(len(results))

    trainer.train(architectures, epochs=3, on_call=on_call)
    trainer.train(architectures[:1], epochs=1)
    assert trainer.compilations == 1
    # After every epoch of both rows.
    assert shares == pytest.approx([number / 6 for number in range(1, 7)])
    assert finished == [0, 0, 0, 1, 1, 1]  # The first row is the short one.


def test_what_the_callback_raises_ends_the_training(trainer, architectures):
    class Stop(Exception):
        pass

    def stop(share: float, finished: list) -> None:
        raise Stop

    with pytest.raises(Stop):
        trainer.train(architectures, epochs=1, on_call=stop)


def test_a_diverging_child_has_no_reward(trainer, architectures, results, monkeypatch):
    """Images that are not finite stand for a learning rate that is part of the program."""
    with monkeypatch.context() as patch:
        data = trainer._data
        patch.setattr(trainer, "_data", data._replace(std=0.0 * data.std))
        (diverged,) = trainer.train(architectures[:1], epochs=2)
    assert (diverged.reward, diverged.diverged) == (0.0, True)
    # The next child on the same device has nothing of it.
    (after,) = trainer.train(architectures[:1], epochs=2)
    assert (after.reward, after.diverged) == (results[0].reward, False)
    assert trainer.compilations == 1


def test_mesh_must_fill_the_devices():
    assert dict(search_mesh(-1, 2).shape) == {"arch": len(jax.devices()) // 2, "data": 2}
    with pytest.raises(ValueError, match="mesh.arch=3 times mesh.data=1 does not make"):
        search_mesh(3, 1)
    with pytest.raises(ValueError, match="mesh.data=3 does not divide the 4 devices"):
        search_mesh(-1, 3)


def test_batch_larger_than_the_training_images():
    config = small_config()
    config.child.batch_size = 100
    with pytest.raises(ValueError, match="child.batch_size is 100, more than the 68 images"):
        make_trainer(config, arch=1, data=1)
