"""Chunks run what is ready, once, in an order that no other child changes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.space import sample_architecture
from nasnet_jax.supernet.calls import Stage, most, places, stage_calls
from nasnet_jax.supernet.kinds import Kinds
from nasnet_jax.supernet.schedule import schedule

CONFIG = LayerConfig(track_statistics=False)


def stage(num_blocks: int, num_cells: int, *, reduces: bool) -> Stage:
    return Stage(
        num_cells=num_cells + reduces,
        num_blocks=num_blocks,
        kinds=Kinds(4, CONFIG, reduces),
    )


@given(
    seed=st.integers(0, 2**31),
    num_children=st.integers(1, 6),
    num_blocks=st.integers(2, 7),
    num_cells=st.integers(1, 3),
    reduces=st.booleans(),
    size=st.integers(1, 5),
)
def test_every_call_runs_once_behind_what_it_reads(
    seed: int, num_children: int, num_blocks: int, num_cells: int, reduces: bool, size: int
) -> None:
    rng = np.random.default_rng(seed)
    children = [sample_architecture(rng, num_blocks) for _ in range(num_children)]
    cells = stage(num_blocks, num_cells, reduces=reduces)
    found = stage_calls(cells, children)
    both = found.halving + found.calls
    assert len(both) <= num_children * most(cells).calls
    rows = sum(cells.kinds.all[call.kind].rows for call in both)
    assert rows <= num_children * most(cells).rows
    assert {call.place for call in both} <= set(places(cells))
    for calls in (found.halving, found.calls):
        chunks = schedule(calls, size)
        assert sorted(call for chunk in chunks for call in chunk.calls) == list(range(len(calls)))
        chunk_of = {call: i for i, chunk in enumerate(chunks) for call in chunk.calls}
        readers: dict[int, list[int]] = {}
        for number, call in enumerate(calls):
            assert call.kind == chunks[chunk_of[number]].kind
            for state in {state for state in call.reads if state is not None}:
                readers.setdefault(state, []).append(chunk_of[number])
                if state >= 0 and calls is found.calls:
                    assert chunk_of[state] < chunk_of[number]
        assert all(0 < len(chunk.calls) <= size for chunk in chunks)
        # In the order of their numbers, and never in one chunk.
        for of_state in readers.values():
            assert all(one < other for one, other in zip(of_state, of_state[1:], strict=False))


def test_full_chunks_where_children_are_many() -> None:
    """Of 64 children, at 16 a chunk: no more than a quarter above the least number of chunks."""
    rng = np.random.default_rng(0)
    children = [sample_architecture(rng, 5) for _ in range(64)]
    calls = stage_calls(stage(5, 2, reduces=False), children).calls
    kinds = [call.kind for call in calls]
    least = sum(-(-kinds.count(kind) // 16) for kind in set(kinds))
    assert len(schedule(calls, 16)) < 1.3 * least
