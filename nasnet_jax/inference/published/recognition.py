"""What a file holds: which network, by which of its tensors, or how it differs from all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from nasnet_jax.inference.published.matching import is_floating, lone_classifier, match, occurrences
from nasnet_jax.inference.published.networks import NETWORKS, Layer, head_layer, layer_at, layers
from nasnet_jax.inference.published.source import Source, Tensors

_NAMED_IN_MESSAGES = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A NASNet-A that was found among the tensors of a file.

    Attributes:
        name: Of `NETWORKS`.
        layers: With its classifier, if it has one.
        tensors: By the source's names of today, in its layout.
        classifier: The name in the file of the linear layer that was taken for the classifier, where
            it is not the source's own.
        left_out: The names in the file of all other tensors.
    """

    name: str
    layers: list[Layer]
    tensors: Tensors
    classifier: str | None
    left_out: list[str]

    @property
    def classes(self) -> int | None:
        """Outputs of the classifier, or `None` without one."""
        last = self.layers[-1]
        return last.shapes["bias"][0] if last.kind == "linear" else None


def recognise(tensors: Tensors, source: Source) -> Network:
    """Finds the network of a source among the tensors of a file.

    Raises:
        ValueError: If there is none, several, or one that differs from the source's.
    """
    name = _by_its_stem(tensors, source)
    macro = NETWORKS[name]
    head = head_layer(macro, classes=1)
    own = source.names(head)
    matched = match(
        tensors, [*shapes(source, layers(macro)), *own.values()], source, head=own.values()
    )
    features = head.shapes["kernel"][0]
    found, classifier = matched.found, None
    if not any(wanted in found for wanted in own.values()):
        instead = lone_classifier(tensors, matched, own, source, features)
        if instead:
            found = found | {own[leaf]: raw for leaf, raw in instead.items()}
            classifier = instead["kernel"]
    sizes = {leaf: tensors[found[wanted]].size for leaf, wanted in own.items() if wanted in found}
    classes = None
    if sizes:
        classes = sizes.get("bias") or sizes["kernel"] // features
    listed = layers(dataclasses.replace(macro, num_classes=classes))
    ours = {wanted: _float32(tensors[raw]) for wanted, raw in found.items()}
    taken = set(found.values())
    outside = [raw for raw in matched.outside if raw not in taken]
    _check(
        f"NASNet-A {name.title()} from {source.title}",
        ours,
        shapes(source, listed),
        inside=matched.inside,
        outside=outside,
    )
    return Network(
        name=name,
        layers=listed,
        tensors=ours,
        classifier=classifier,
        left_out=[*outside, *matched.beside],
    )


def shapes(source: Source, listed: list[Layer]) -> dict[str, tuple[int, ...]]:
    """The arrays of layers by the source's names, with their shapes in its layout."""
    return {
        name: source.shape(layer.kind, layer.shapes[leaf])
        for layer in listed
        for leaf, name in source.names(layer).items()
    }


def counted(names: Sequence[str], what: str) -> str:
    """How many there are of something, and the first few."""
    more = ", ..." if len(names) > _NAMED_IN_MESSAGES else ""
    return f"{len(names)} {what} ({', '.join(names[:_NAMED_IN_MESSAGES])}{more})"


def begins(tensors: Tensors, source: Source) -> bool:
    """Whether there is the first kernel of a network of the source."""
    return bool(occurrences(_first_kernel(source), tensors, source))


def _first_kernel(source: Source) -> str:
    """The name of the stem's kernel, which is the same in all networks of a source."""
    macro = NETWORKS[next(iter(source.edges))]
    return source.names(layer_at(("stem", "conv"), {"kernel": ()}, macro))["kernel"]


def _by_its_stem(tensors: Tensors, source: Source) -> str:
    """Which network the tensors are of: everywhere the stem's kernel tells them apart."""
    first = _first_kernel(source)
    found = occurrences(first, tensors, source)
    if not found:
        raise ValueError(
            f"It has no {first!r}, with which {source.title}'s NASNet-A begins. Check --source, and "
            "that the file is a NASNet-A's."
        )
    # The largest side is the number of filters, and what an optimizer remembers is of that shape too.
    filters = {max(tensors[raw].shape, default=0) for raw in found}
    for network in source.edges:
        if NETWORKS[network].stem_filters in filters:
            return network
    known = " or ".join(network.title() for network in source.edges)
    raise ValueError(
        f"Its first kernel, {found[0]!r}, has the shape {tensors[found[0]].shape}, which is not that of "
        f"NASNet-A {known} from {source.title}. Check --source; no other network can be imported."
    )


def _float32(tensor: np.ndarray) -> np.ndarray:
    """Floating-point numbers of any width as float32, what is too large for it as infinity."""
    if not is_floating(tensor):
        return tensor
    with np.errstate(over="ignore"):
        return tensor.astype(np.float32)


def _check(
    title: str,
    tensors: Tensors,
    expected: dict[str, tuple[int, ...]],
    *,
    inside: list[str],
    outside: list[str],
) -> None:
    """Compares names and shapes, and finds what no training leaves behind.

    Raises:
        ValueError: With the first few of each kind of difference.
    """
    missing = [name for name in expected if name not in tensors]
    misshapen = [
        f"{name} {tensors[name].shape} instead of {shape}"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]
    not_numbers = [
        name
        for name in expected
        if name in tensors and not (is_floating(tensors[name]) and np.isfinite(tensors[name]).all())
    ]
    faults = {
        "missing": missing,
        # Where something is missing, it may be among these by another name.
        "not expected": [*inside, *outside] if missing else inside,
        "of another shape": misshapen,
        "not finite floating-point numbers": not_numbers,
    }
    found = [counted(names, fault) for fault, names in faults.items() if names]
    if found:
        raise ValueError(
            f"It is not {title}; of its tensors are {'; '.join(found)}. Check --source, and get the "
            "file again if it may be damaged."
        )
