"""What tells one data set from another, small enough to be kept with a run.

It says nothing of where the data lie, so that they may be mounted elsewhere when a run goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasnet_jax.data.source import Source

_SPLITS = {"train": "training images", "test": "test images"}
_HASHES = {
    "content": "the {} or their labels are others",
    "listing": "the files of the {} have other names or sizes",
    "shards": "the files of the {} hold other numbers of them",
}
"""What it means that a hash is another one."""
_SHOWN = 5
"""Names in a message, at most."""


def fingerprint(train: Source, test: Source) -> dict[str, Any]:
    """The classes of a data set, and of each split the number of its images and what they are.

    Returns:
        Plain values, as JSON has them; `difference` compares two.
    """
    return {
        "classes": list(train.class_names),
        "train": {"images": len(train), **train.identity()},
        "test": {"images": len(test), **test.identity()},
    }


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What differs between two fingerprints, as part of a sentence; empty if nothing does."""
    differences = _of_classes(there["classes"], here["classes"])
    for split, images in _SPLITS.items():
        was, now = there[split], here[split]
        names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
        # With other images there are other hashes, too.
        for name in names[:1] if "images" in names else names:
            if name in _HASHES and name in was and name in now:
                differences.append(_HASHES[name].format(images))
            elif name == "images":
                differences.append(f"there were {was[name]} {images}, now {now[name]}")
            else:
                before, after = (facts.get(name, "not known") for facts in (was, now))
                differences.append(f"the {name} of the {images} was {before}, now {after}")
    return "; ".join(differences)


def _of_classes(there: Sequence[str], here: Sequence[str]) -> list[str]:
    if there == here:
        return []
    new = [name for name in here if name not in there]
    gone = [name for name in there if name not in here]
    if not new and not gone:
        return ["the classes come in another order"]
    return [
        f"{what}: {', '.join(names[:_SHOWN])}{', ...' * (len(names) > _SHOWN)}"
        for what, names in (("new classes", new), ("classes gone", gone))
        if names
    ]
