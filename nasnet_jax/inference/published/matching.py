"""Which tensors of a file are which of the network's, whoever wrote it.

Writers put a network into wrappers, which lengthens names in front (`module.`, `backbone.`, the name
of an outer model), and keep more than the network: moving averages, what an optimizer remembers of
each weight, counters, other heads. One rule reads all of them: a tensor is the network's where a
stretch of its name, in one of the spellings that its source ever had, is one of the network's names.
What stands in front is a wrapper; what stands behind makes it something kept beside the weight.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping

import jax.numpy as jnp
import numpy as np

from nasnet_jax.inference.published.source import Source, Tensors

Words = tuple[str, ...]
"""A name, taken apart at the source's separator."""

_AVERAGE = re.compile(r"moving_?average|(^|[^a-z])(ema|swa|averaged?)([^a-z]|$)", re.IGNORECASE)
"""A word that says of a tensor that it is the average of a weight over the training."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Match:
    """What was found.

    Attributes:
        found: From the network's names to those in the file.
        inside: Names in the file of other tensors in the network's own layers and cells: these are
            a part of what it computes, in a network that is another one.
        outside: Names of tensors outside of them, such as those of another head.
        beside: Names of what only training needs: values that averages stand for, averages that
            were not chosen, what optimizers remember, and counters.
    """

    found: dict[str, str]
    inside: list[str]
    outside: list[str]
    beside: list[str]


def match(
    tensors: Tensors, names: Collection[str], source: Source, *, head: Collection[str] = ()
) -> Match:
    """Finds a network's tensors in a file. Of a weight and its average it takes the average.

    Args:
        tensors: All of the file.
        names: Of the network's tensors, as its source writes them today.
        source: Whose they are.
        head: Those of `names` that belong to the head, beside which other layers may lie.

    Raises:
        ValueError: If the network is in the file several times, and nothing says which is meant.
    """
    parsed = {raw: _parse(raw, names, source) for raw in tensors}
    plain: dict[str, dict[str, str]] = collections.defaultdict(dict)
    averages: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for raw, place in parsed.items():
        if place is not None and place.is_weight:
            kind = averages if place.is_average else plain
            around = source.separator.join((*place.written, "*", *place.behind))
            kind[place.name][around] = raw
    found = {**_one_of_each(plain), **_one_of_each(averages)}

    taken = set(found.values())
    wrappers = {place.written for raw in taken if (place := parsed[raw]) is not None}
    roots = {name.split(source.separator)[0] for name in names if name not in head}
    left = Match(found=found, inside=[], outside=[], beside=[])
    for raw, tensor in tensors.items():
        if raw in taken:
            continue
        if parsed[raw] is not None or not is_floating(tensor):
            left.beside.append(raw)
        elif _is_inside(raw, wrappers, roots, source):
            left.inside.append(raw)
        else:
            left.outside.append(raw)
    return left


def occurrences(name: str, tensors: Tensors, source: Source) -> list[str]:
    """The names in a file in which a name of a source's network occurs."""
    return [raw for raw in tensors if _parse(raw, [name], source) is not None]


def lone_classifier(
    tensors: Tensors, matched: Match, own: Mapping[str, str], source: Source, features: int
) -> dict[str, str]:
    """The linear layer that stands where the network's own classifier is missing, if it is alone.

    Args:
        tensors: All of the file.
        matched: What is the network's among them.
        own: From `kernel` and `bias` to the names of the network's own classifier.
        source: Whose they are.
        features: That a classifier of the network reads.

    Returns:
        From `kernel` and `bias` to names in the file; nothing where there is no such layer, or where
        others follow the network too, which is then one that gives features.
    """
    words = {name.rpartition(source.separator)[2] for name in (*matched.found, *own.values())}
    layers: dict[str, set[str]] = collections.defaultdict(set)
    for raw in matched.outside:
        layer, _, word = raw.rpartition(source.separator)
        if word in words:
            layers[layer].add(word)
    if len(layers) != 1:
        return {}
    ((layer, found),) = layers.items()
    in_it = {leaf: name.rpartition(source.separator)[2] for leaf, name in own.items()}
    if found != set(in_it.values()):
        return {}
    names = {leaf: f"{layer}{source.separator}{word}" for leaf, word in in_it.items()}
    kernel, (classes, *rest) = tensors[names["kernel"]], tensors[names["bias"]].shape
    fits = not rest and kernel.shape == source.shape("linear", (features, classes))
    return names if fits else {}


def is_floating(tensor: np.ndarray) -> bool:
    """Whether it holds floating-point numbers, those that NumPy does not know (bfloat16) included."""
    return bool(jnp.issubdtype(tensor.dtype, jnp.floating))


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where in a name in a file a name of the network stands.

    Attributes:
        name: The network's.
        written: The words in front of it.
        behind: The words behind it.
    """

    name: str
    written: Words
    behind: Words

    @property
    def is_average(self) -> bool:
        return any(_AVERAGE.search(word) for word in (*self.written, *self.behind))

    @property
    def is_weight(self) -> bool:
        """Whether it is the weight or its average, and not what an optimizer remembers of it."""
        return all(_AVERAGE.search(word) for word in self.behind)


def _parse(raw: str, names: Collection[str], source: Source) -> _Place | None:
    """The longest stretch that is a name of the network, the first of equally long ones."""
    words = tuple(raw.split(source.separator))
    for length in range(len(words), 0, -1):
        for first in range(len(words) - length + 1):
            stretch = source.separator.join(words[first : first + length])
            for name in source.spellings(stretch):
                if name in names:
                    return _Place(name, words[:first], words[first + length :])
    return None


def _one_of_each(candidates: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Chooses among names in the file, where there are several for one of the network.

    Args:
        candidates: For each name of the network, by what stands around it, the names in the file.
    """
    if all(len(places) == 1 for places in candidates.values()):
        return {name: raw for name, places in candidates.items() for raw in places.values()}
    # That with most names: others are parts, or what an optimizer remembers of some weights.
    held = collections.Counter(around for places in candidates.values() for around in places)
    (best, most), (other, as_many) = held.most_common(2)
    if most == as_many:
        first, second = sorted((best, other))
        raise ValueError(
            f"It holds the network several times, as {first!r} and as {second!r}. Write one of them "
            "to a file of its own."
        )
    return {name: places[best] for name, places in candidates.items() if best in places}


def _is_inside(
    raw: str, wrappers: Collection[Words], roots: Collection[str], source: Source
) -> bool:
    """Whether a tensor lies in a layer or cell of the network."""
    words = tuple(raw.split(source.separator))

    def beginnings(rest: Words) -> Iterator[str]:
        for spelling in source.spellings(source.separator.join(rest)):
            yield spelling.split(source.separator)[0]

    return any(
        words[: len(wrapper)] == wrapper
        and any(root in roots for root in beginnings(words[len(wrapper) :]))
        for wrapper in wrappers
    )
