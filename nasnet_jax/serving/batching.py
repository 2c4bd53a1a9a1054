"""Images of requests that come at the same time, put into one call of the network."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Sequence

import numpy as np


class OverloadedError(Exception):
    """More images wait than may."""


class Batcher:
    """Calls a network with whatever images wait when it is free; it is never waited for more to come.

    Args:
        compute: From prepared images `[batch, height, width, channels]` to `[batch, classes]`. It is
            called in a thread of its own, one call after the other.
        largest: Images in a call.
        most_waiting: Images that may wait.

    Attributes:
        images: That were computed so far.
        calls: That they took.
    """

    def __init__(
        self, compute: Callable[[np.ndarray], np.ndarray], *, largest: int, most_waiting: int
    ) -> None:
        self._compute = compute
        self._largest, self._most_waiting = largest, most_waiting
        self._waiting: asyncio.Queue[tuple[np.ndarray, asyncio.Future[np.ndarray]]] = (
            asyncio.Queue()
        )
        self.images = self.calls = 0

    async def logits(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """`[batch, classes]` for prepared images `[height, width, channels]`, in their order.

        Raises:
            OverloadedError: If too many wait; none of these is computed then.
        """
        if self._waiting.qsize() + len(images) > self._most_waiting:
            raise OverloadedError
        loop = asyncio.get_running_loop()
        futures = []
        for image in images:
            futures.append(loop.create_future())
            self._waiting.put_nowait((image, futures[-1]))
        return np.stack(await asyncio.gather(*futures))

    async def run(self) -> None:
        """Works until it is cancelled."""
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(1, "network") as thread:
            while True:
                batch = [await self._waiting.get()]
                while len(batch) < self._largest and not self._waiting.empty():
                    batch.append(self._waiting.get_nowait())
                # Nobody waits any more for what a client has left.
                batch = [(image, future) for image, future in batch if not future.done()]
                if not batch:
                    continue
                stacked = np.stack([image for image, _ in batch])
                try:
                    rows = await loop.run_in_executor(thread, self._compute, stacked)
                except Exception as error:  # noqa: BLE001  # It is the requests' that made it.
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(error)
                    continue
                self.images, self.calls = self.images + len(batch), self.calls + 1
                for (_, future), row in zip(batch, rows, strict=True):
                    if not future.done():
                        future.set_result(row)
