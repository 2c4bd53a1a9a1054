"""One network, whoever wrote it: names that writers make of its tensors, and what they add."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nasnet_jax.inference.published import SOURCES, expected_shapes
from nasnet_jax.inference.published.matching import Match, match

WEIGHT = np.zeros(1, np.float32)
COUNTER = np.int64(7)
AVERAGES = ("ExponentialMovingAverage", "average", "ema", "model_ema", "state_dict_ema", "swa")
ENDS = ("Momentum", "RMSProp", "RMSProp_1", "Adam", "Adam_1", "exp_avg", "exp_avg_sq", "lookahead")
WORDS = st.from_regex(r"[A-Zjqx]{2,6}(_[0-9])?", fullmatch=True)
"""Of wrappers and optimizers: none is a word of the network's, or says that it is an average."""
SOURCE = st.sampled_from(sorted(SOURCES))


@functools.cache
def names_of(source: str) -> tuple[str, ...]:
    """A part of a network's names, of all its cells, and those of its head."""
    network = next(iter(SOURCES[source].edges))
    *body, kernel, bias = expected_shapes(source, network, 7)
    return (*body[:40], *body[40::11], *body[-5:], kernel, bias)


def statistics(name: str) -> bool:
    return name.endswith(("moving_mean", "moving_variance", "running_mean", "running_var"))


def joined(source: str, *words: str) -> str:
    return SOURCES[source].separator.join(filter(None, words))


def matched(source: str, raws: Sequence[str], *, others: Sequence[str] = ()) -> Match:
    tensors = dict.fromkeys(raws, WEIGHT) | dict.fromkeys(others, COUNTER)
    head = names_of(source)[-2:]
    return match(tensors, names_of(source), SOURCES[source], head=head)


def shuffled(data: st.DataObject, raws: Sequence[str], *, some: bool = False) -> list[str]:
    """All of them in another order, or at least one of them."""
    order = np.random.default_rng(data.draw(st.integers(0, 999))).permutation(len(raws))
    number = data.draw(st.integers(1, len(raws))) if some else len(raws)
    return [raws[place] for place in order[:number]]


@settings(max_examples=15)
@given(st.data(), SOURCE, st.lists(WORDS, max_size=3), st.lists(WORDS, max_size=2, unique=True))
def test_wrappers_and_what_optimizers_keep_change_nothing(
    data: st.DataObject, source: str, wrapper: list[str], slots: list[str]
) -> None:
    written = {name: joined(source, *wrapper, name) for name in names_of(source)}
    slots = [*slots, *data.draw(st.lists(st.sampled_from(ENDS), unique=True, max_size=1))]
    trained = [raw for name, raw in written.items() if not statistics(name)]
    kept = [
        joined(source, *place)
        for raw in shuffled(data, trained, some=True)
        for slot in slots
        for place in ((raw, slot), ("optimizer", slot, raw))
    ]
    counters = ["global_step", joined(source, "optimizer", "iterations")]
    result = matched(source, shuffled(data, [*written.values(), *kept]), others=counters)
    assert result.found == written
    assert set(result.beside) == {*kept, *counters}
    assert result.inside == result.outside == []


@settings(max_examples=25)
@given(st.data(), SOURCE, st.sampled_from(AVERAGES), st.booleans(), st.booleans())
def test_averages_win_and_what_has_none_stays(
    data: st.DataObject, source: str, average: str, behind: bool, alone: bool
) -> None:
    trained = [name for name in names_of(source) if not statistics(name)]
    averaged = shuffled(data, trained, some=True)
    wanted = {
        name: joined(source, *((name, average) if behind else (average, name)))
        if name in averaged
        else name
        for name in names_of(source)
    }
    raws = set(wanted.values()) if alone else {*wanted.values(), *wanted}
    result = matched(source, shuffled(data, sorted(raws)))
    assert result.found == wanted
    assert set(result.beside) == (set() if alone else set(averaged))


@settings(max_examples=25)
@given(st.data(), st.booleans(), st.booleans())
def test_keras_spellings(data: st.DataObject, scoped: bool, old: bool) -> None:
    """Names of 2017 and 2018, numbers behind names that there were already, and scopes within."""
    numbers = st.sampled_from(["", "_1", "_2", "_17"])
    number = data.draw(numbers)
    written = {}
    for name in names_of("keras"):
        layer, array = name.split("/")
        spelled = layer.replace("_reduction_right1_", "_reduction_1_") if old else layer
        scope = ("adjust_block", "reduction_A_block_stem_1") if scoped else ()
        inner = spelled + data.draw(numbers)
        written[name] = "/".join((spelled + number, *scope, inner, array))
    assert matched("keras", shuffled(data, list(written.values()))).found == written


def test_other_names_of_a_source_s_own() -> None:
    old = {"cadene": ("last_linear.", "linear."), "slim": ("FC/", "fully_connected/")}
    for source, (today, before) in old.items():
        written = {name: name.replace(today, before) for name in names_of(source)}
        assert matched(source, list(written.values())).found == written
    keras_arrays = {"depthwise_weights": "depthwise_kernel", "weights": "kernel"}
    keras_arrays |= {"pointwise_weights": "pointwise_kernel", "biases": "bias"}
    written = {}
    for name in names_of("slim"):
        scope, _, array = name.rpartition("/")
        written[name] = f"{scope}/{scope}/{keras_arrays.get(array, array)}"
    assert matched("slim", list(written.values())).found == written


@settings(max_examples=25)
@given(st.data(), SOURCE, st.lists(WORDS, max_size=2))
def test_what_lies_in_the_network_s_layers_is_told_apart_from_what_lies_outside(
    data: st.DataObject, source: str, wrapper: list[str]
) -> None:
    written = [joined(source, *wrapper, name) for name in names_of(source)]
    name = data.draw(st.sampled_from(names_of(source)[:-2]))
    layer = name.rpartition(SOURCES[source].separator)[0]
    inside = joined(source, *wrapper, layer, data.draw(WORDS))
    outside = joined(source, *wrapper, "neck", "fc", "weight")
    result = matched(source, shuffled(data, [*written, inside, outside]))
    assert (result.inside, result.outside) == ([inside], [outside])


@settings(max_examples=10)
@given(SOURCE, WORDS, WORDS)
def test_a_network_that_is_there_twice_is_refused(source: str, one: str, other: str) -> None:
    assume(one != other)
    raws = [joined(source, wrapper, name) for wrapper in (one, other) for name in names_of(source)]
    with pytest.raises(ValueError, match=f"several times, as .*{re.escape(min(one, other))}.*\\*"):
        matched(source, raws)


@settings(max_examples=10)
@given(SOURCE, WORDS, WORDS, st.integers(1, 140))
def test_parts_in_different_wrappers_are_one_network(
    source: str, one: str, other: str, first: int
) -> None:
    """As detectors have it, whose stages hold a part of the cells each."""
    written = {
        name: joined(source, one if place < first else other, name)
        for place, name in enumerate(names_of(source))
    }
    assert matched(source, list(written.values())).found == written


def test_numbers_that_numpy_does_not_know_are_weights() -> None:
    name, *_ = names_of("cadene")
    counter = "conv0.bn.num_batches_tracked"
    tensors = {name: np.zeros(1, ml_dtypes.bfloat16), counter: COUNTER}
    result = match(tensors, names_of("cadene"), SOURCES["cadene"])
    assert (result.found, result.beside) == ({name: name}, [counter])
