"""A list scheduler: packs the calls of all children into chunks of calls of one kind.

The device runs one chunk after the other. A chunk holds up to `size` calls of one kind, of any children,
whose inputs earlier chunks have made.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from nasnet_jax.supernet.calls import Call


class Chunk(NamedTuple):
    """Calls that run at once.

    Attributes:
        kind: Of all of them.
        calls: Their numbers.
    """

    kind: int
    calls: list[int]


def schedule(calls: Sequence[Call], size: int) -> list[Chunk]:
    """Deals calls to chunks.

    The next chunk has the kind with the largest product of the longest path of calls behind its first
    ready one and the share of the chunk that could be full and is. (The best of nine rules that were
    tried on uniform architectures and on those of a controller that has converged.)

    Calls that read the same state come in the order of their numbers, never in the same chunk. So a
    state's cotangents are added up in an order that depends on no other child, and the reads of a chunk
    are unique.

    Args:
        calls: Of all children; no call reads one behind it.
        size: The most calls of a chunk.

    Returns:
        The chunks, in an order in which they can run.
    """
    followers = _followers(calls)
    missing = [0] * len(calls)
    for number in (follower for each in followers for follower in each):
        missing[number] += 1
    behind = [1] * len(calls)
    for number in reversed(range(len(calls))):
        behind[number] += max((behind[follower] for follower in followers[number]), default=0)
    left: dict[int, int] = {}
    ready: dict[int, list[tuple[int, int]]] = {}
    for number, call in enumerate(calls):
        left[call.kind] = left.get(call.kind, 0) + 1
        ready.setdefault(call.kind, [])
        if not missing[number]:
            heapq.heappush(ready[call.kind], (-behind[number], number))

    def urgency(kind: int) -> float:
        longest, waiting = -ready[kind][0][0], len(ready[kind])
        return longest * min(waiting, size) / min(left[kind], size)

    chunks: list[Chunk] = []
    done = 0
    while done < len(calls):
        kind = max((kind for kind in ready if ready[kind]), key=urgency)
        taken = min(len(ready[kind]), size)
        chunk = Chunk(kind, [heapq.heappop(ready[kind])[1] for _ in range(taken)])
        for follower in (follower for number in chunk.calls for follower in followers[number]):
            missing[follower] -= 1
            if not missing[follower]:
                heapq.heappush(ready[calls[follower].kind], (-behind[follower], follower))
        left[kind] -= taken
        done += taken
        chunks.append(chunk)
    return chunks


def _followers(calls: Sequence[Call]) -> list[list[int]]:
    """For each call those that have to wait for it: its readers, and the next reader of what it reads."""
    followers: list[list[int]] = [[] for _ in calls]
    last_reader: dict[int, int] = {}
    for number, call in enumerate(calls):
        for state in {state for state in call.reads if state is not None}:
            if state >= 0:
                followers[state].append(number)
            if state in last_reader:
                followers[last_reader[state]].append(number)
            last_reader[state] = number
    return followers
