"""How often a program's loops turn, and which branches its conditionals take, where only data says it.

Loops whose length the compiler knows turn as often as it says. The loops over a tape's chunks
(`nasnet_jax.supernet.stage`) turn as often, and their switches take each branch as often, as for children
drawn at random: their tapes are made as for a real launch. Of a step's own conditionals, each of two
branches, the one with more kernels is taken, which is that of training. All else turns
once, and takes each branch equally often.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasnet_jax.planning.hlo_text import Instruction
from nasnet_jax.space import Macro, sample_architecture
from nasnet_jax.supernet import Supernet

WORDS = (
    "chunks and kinds as of children drawn at random; of a step's own conditionals that of training; "
    "other loops of unknown length once, other branches equally often"
)
"""The weighting for people."""


@dataclasses.dataclass(frozen=True)
class TapeLoop:
    """The loop over the chunks of a tape.

    Attributes:
        chunks: How often it turns.
        kinds: The share of them that are of each kind.
    """

    chunks: int
    kinds: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Turns:
    """What data decides in a step.

    Attributes:
        children: That a device trains at the same time.
        cells: Of each.
        tapes: The loops over chunks by the ends of their scopes, as `stage_1/halving`.
        most_round_trips: How often a step should ask the host at most, where that is known.
    """

    children: int
    cells: int
    tapes: Mapping[str, TapeLoop] = dataclasses.field(default_factory=dict)
    most_round_trips: int | None = None

    def tape(self, loop: Instruction) -> TapeLoop | None:
        """Which tape a loop walks, forwards or backwards; None if it walks none."""
        scope = loop.scope.removesuffix("/while")
        found = [tape for name, tape in self.tapes.items() if scope.endswith(name)]
        return found[0] if found else None


def search_turns(supernet: Supernet, macro: Macro) -> Turns:
    """Of a search's step with as many children as there is room for."""
    number, cells = supernet.room.children, len(macro.cells)
    rng = np.random.default_rng(0)
    drawn = [sample_architecture(rng, supernet.num_blocks).canonical() for _ in range(number)]
    tapes = {}
    for index, (stage, made) in enumerate(
        zip(supernet.stages, supernet.launch(drawn).tapes, strict=True)
    ):
        tapes[f"stage_{index}/calls"] = _tape_loop(made.calls, len(stage.kinds.keeping))
        if stage.reduces:
            tapes[f"stage_{index}/halving"] = _tape_loop(made.halving, len(stage.kinds.halving))
    # A loop over chunks asks before each turn and behind the last one, and in each for its switch; both
    # ways. The step itself turns, and asks three times whether it trains.
    most = 4 + sum(2 * (2 * tape.chunks + 1) for tape in tapes.values())
    if supernet.room.chunk == 1:
        # A chunk of one call asks besides whether it normalizes, twice, and how many states it reads.
        most += sum(4 * tape.chunks for tape in tapes.values())
    return Turns(number, cells, tapes, most)


def training_turns(macro: Macro) -> Turns:
    """Of a training's step, in which nothing depends on data."""
    return Turns(1, len(macro.cells), most_round_trips=0)


def _tape_loop(tape: Any, kinds: int) -> TapeLoop:
    number = int(tape.number)
    counts = np.bincount(tape.kind[:number], minlength=kinds)
    return TapeLoop(number, tuple(counts / number))


def equal_shares(branches: Sequence[object]) -> tuple[float, ...]:
    """Each branch equally often."""
    return (1 / len(branches),) * len(branches)
