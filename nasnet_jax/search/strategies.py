"""The strategies by their names in a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from nasnet_jax.search.evolution import RegularizedEvolution
from nasnet_jax.search.policy_gradient import PPO, Reinforce
from nasnet_jax.search.random_search import RandomSearch
from nasnet_jax.search.strategy import Strategy

STRATEGIES: Mapping[str, type[Any]] = {
    "ppo": PPO,
    "reinforce": Reinforce,
    "random": RandomSearch,
    "evolution": RegularizedEvolution,
}


def make_strategy(
    config: Mapping[str, Any], choices: Sequence[int], kinds: Sequence[str] = ()
) -> Strategy:
    """Makes the strategy that a config names.

    Args:
        config: `name` ('ppo', 'reinforce', 'random' or 'evolution') and values for the fields of
            that strategy; what is left out keeps its default. Fields of the other strategies are
            allowed and ignored, so that a command line can switch `strategy.name` alone.
        choices: The number of alternatives of each decision.
        kinds: What each decision is, for a strategy that has a field `kinds`.

    Raises:
        ValueError: For a name or a field that no strategy has, or a value out of range.
    """
    fields = {
        name: {field.name for field in dataclasses.fields(cls)} - {"choices", "kinds"}
        for name, cls in STRATEGIES.items()
    }
    values = dict(config.items())
    name = values.pop("name", None)
    if name not in STRATEGIES:
        raise ValueError(f"strategy.name must be one of {', '.join(STRATEGIES)}; got {name!r}.")
    unknown = sorted(set(values) - set().union(*fields.values()))
    if unknown:
        raise ValueError(
            f"strategy has no field {', '.join(unknown)}; the fields of {name!r} are: "
            f"{', '.join(sorted(fields[name])) or 'none'}."
        )
    own = {field: value for field, value in values.items() if field in fields[name]}
    if any(field.name == "kinds" for field in dataclasses.fields(STRATEGIES[name])):
        own["kinds"] = tuple(kinds)
    strategy: Strategy = STRATEGIES[name](choices=tuple(int(c) for c in choices), **own)
    return strategy
