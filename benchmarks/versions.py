"""Two versions of one of our workers, that do the same in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pairs import Pairs, alternate
from processes import Worker, ours


def compare_versions(
    module: str,
    message: Mapping[str, Any],
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    *,
    pairs: int,
) -> Pairs:
    """Measures how long two workers take for the same message.

    Args:
        module: Of both workers, for example `ours.children`.
        message: What they are asked.
        first: The settings of the one that counts as ours.
        second: Those of the other.
        pairs: Measurements of each.
    """
    with Worker(ours(), module, first) as one, Worker(ours(), module, second) as other:
        return alternate(lambda _: one.ask(message), lambda _: other.ask(message), pairs=pairs)
