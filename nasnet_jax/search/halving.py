"""Synchronous successive halving: of a batch, the better part is trained on (Jamieson & Talwalkar, 2016).

The rate of learning is that of a whole training from the start, so a child that is never stopped ends as
it would without halving, bit for bit. One that is stopped has the accuracy of its last rung.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from nasnet_jax.search.child_result import ChildResult, PausedChild, Span
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.search.rungs import epochs_of_rungs, survivors
from nasnet_jax.space import Architecture


def train_halved(
    trainer: ChildTrainer,
    architectures: Sequence[Architecture],
    *,
    epochs: int,
    rungs: Sequence[int],
    keep: float,
    on_call: Callable[[float, Sequence[ChildResult]], None],
) -> list[ChildResult]:
    """Trains architectures, of which a part goes on at every rung.

    Args:
        trainer: Of the children, which are dealt to the devices anew for every rung.
        architectures: That compete with each other.
        epochs: Of a child that is never stopped.
        rungs: Epochs after which the better part goes on; none for all to be trained to the end.
        keep: What share of them goes on, rounded up. Who diverged does not.
        on_call: As of `ChildTrainer.train`.

    Returns:
        One result for each architecture, in their order.
    """
    spans = [Span(*ends, epochs) for ends in itertools.pairwise([0, *rungs, epochs])]
    work = epochs_of_rungs(len(architectures), epochs, rungs, keep)
    alive = list(range(len(architectures)))
    paused: dict[int, PausedChild] = {}
    results: dict[int, ChildResult] = {}
    for number, span in enumerate(spans):

        def on_part(share: float, finished: Sequence[ChildResult], number: int = number) -> None:
            done = sum(work[:number]) + share * work[number]
            on_call(done / sum(work), list(results.values()) if number else finished)

        is_last = number == len(spans) - 1
        found, left = trainer.train_span(
            [architectures[index] for index in alive],
            span,
            paused=[paused[index] for index in alive] if number else (),
            pause=0 if is_last else survivors(len(alive), keep),
            on_call=on_part,
        )
        for index, result in zip(alive, found, strict=True):
            if index in results:
                earlier = results[index]
                result = result._replace(
                    seconds=earlier.seconds + result.seconds, first_reward=earlier.first_reward
                )
            results[index] = result
        paused = {alive[place]: child for place, child in left.items()}
        alive = sorted(paused)
        if not alive:
            break
    return [results[index] for index in range(len(architectures))]
