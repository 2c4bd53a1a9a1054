"""The queue in front of the network, with a computation that the test holds in its hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from nasnet_jax.serving.batching import Batcher, OverloadedError


class Network:
    """Doubles numbers, once it is let; keeps the sizes of its batches."""

    def __init__(self) -> None:
        self.go, self.sizes = threading.Event(), []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        assert self.go.wait(10)
        self.sizes.append(len(images))
        if (images < 0).any():
            raise ArithmeticError("below zero")
        return 2 * images


def run(batcher: Batcher, scene: Coroutine[Any, Any, Any]) -> Any:
    async def whole() -> Any:
        work = asyncio.create_task(batcher.run())
        try:
            return await asyncio.wait_for(scene, 20)
        finally:
            work.cancel()

    return asyncio.run(whole())


def numbers(*values: float) -> list[np.ndarray]:
    return [np.array([value]) for value in values]


def test_what_waits_goes_together_and_everybody_gets_their_own() -> None:
    network = Network()
    batcher = Batcher(network, largest=4, most_waiting=100)

    async def scene() -> list[np.ndarray]:
        asks = [asyncio.create_task(batcher.logits(numbers(n, n + 0.5))) for n in range(5)]
        await asyncio.sleep(0.05)
        network.go.set()
        return await asyncio.gather(*asks)

    answers = run(batcher, scene())
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, [[2 * number], [2 * number + 1]])
    assert sum(network.sizes) == 10 == batcher.images
    assert max(network.sizes) == 4 and len(network.sizes) == batcher.calls <= 4


def test_too_many_are_refused_and_the_others_are_not() -> None:
    network = Network()
    batcher = Batcher(network, largest=1, most_waiting=2)

    async def scene() -> np.ndarray:
        first = asyncio.create_task(batcher.logits(numbers(1)))
        await asyncio.sleep(0.05)  # The network has it.
        second = asyncio.create_task(batcher.logits(numbers(2, 3)))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await batcher.logits(numbers(4))
        network.go.set()
        return np.concatenate(await asyncio.gather(first, second))

    np.testing.assert_array_equal(run(batcher, scene()), [[2], [4], [6]])
    assert network.sizes == [1, 1, 1]


def test_a_failure_is_told_to_its_batch_and_the_next_one_works() -> None:
    network = Network()
    network.go.set()
    batcher = Batcher(network, largest=4, most_waiting=100)

    async def scene() -> np.ndarray:
        with pytest.raises(ArithmeticError, match="below zero"):
            await batcher.logits(numbers(-1))
        return await batcher.logits(numbers(1))

    np.testing.assert_array_equal(run(batcher, scene()), [[2]])


def test_what_a_client_has_left_is_not_computed() -> None:
    network = Network()
    batcher = Batcher(network, largest=1, most_waiting=100)

    async def scene() -> None:
        first = asyncio.create_task(batcher.logits(numbers(1)))
        await asyncio.sleep(0.05)
        left = asyncio.create_task(batcher.logits(numbers(2)))
        await asyncio.sleep(0.05)
        left.cancel()
        last = asyncio.create_task(batcher.logits(numbers(3)))
        network.go.set()
        await asyncio.gather(first, last)

    run(batcher, scene())
    assert batcher.images == 2
