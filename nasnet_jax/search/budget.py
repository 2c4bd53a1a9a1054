"""What a search's networks may cost, and what their cost does to the reward."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import ml_collections
import numpy as np
import numpy.typing as npt

from nasnet_jax.search.network_file import network_macro
from nasnet_jax.space import Architecture, Cost, Macro, cost
from nasnet_jax.space.smallest import smallest_architecture

CHILD = "child"
"""The network of `reward.network` that is trained in the search; any other is a configuration's."""

COSTS = ("params", "macs")
"""What `reward.cost` may name and `limits` may hold: trainable parameters and multiply-adds."""


def _absolute(accuracy: float, ratio: float, weight: float) -> float:
    return accuracy + weight * abs(ratio - 1.0)


def _power(accuracy: float, ratio: float, weight: float) -> float:
    return float(accuracy * ratio**weight)


FORMS: dict[str, Callable[[float, float, float], float]] = {
    "absolute": _absolute,
    "power": _power,
}
"""Of `reward.form`, functions of the accuracy, of cost / target and of `reward.weight`.

`absolute`: accuracy + weight * |cost / target - 1| (TuNAS; Bender et al., 2020, arXiv 2008.06120).
`power`: accuracy * (cost / target) ** weight (MnasNet; Tan et al., 2019, arXiv 1807.11626, with -0.07
on both sides of the target).
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """Cost, limits and reward of a search's architectures.

    Attributes:
        macro: Of the network that is counted.
        cost_name: What of its cost is in the reward, one of `COSTS`, or empty for nothing.
        target: Of that cost.
        form: One of `FORMS`.
        weight: Of the cost in the reward; negative.
        limits: The most of each of `COSTS`, or 0 for any.
    """

    macro: Macro
    cost_name: str = ""
    target: int = 0
    form: str = "absolute"
    weight: float = -0.07
    limits: tuple[int, int] = (0, 0)

    def cost(self, architecture: Architecture) -> Cost:
        """Of the network that is counted."""
        return cost(architecture, self.macro)

    def meets(self, counted: Cost) -> bool:
        """Whether a cost is within the limits."""
        amounts = (getattr(counted, name) for name in COSTS)
        return all(not most or one <= most for one, most in zip(amounts, self.limits, strict=True))

    def allowed(self, decisions: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Which of the architectures `[n, D]` are within the limits, bool `[n]`."""
        if not any(self.limits):
            return np.ones(len(decisions), bool)
        costs = (self.cost(Architecture.from_decisions(row)) for row in decisions)
        return np.array([self.meets(counted) for counted in costs], bool)

    def reward(self, accuracy: float, counted: Cost) -> float:
        """What an accuracy is worth at this cost."""
        if not self.cost_name:
            return accuracy
        ratio = getattr(counted, self.cost_name) / self.target
        return FORMS[self.form](accuracy, ratio, self.weight)

    def check_possible(self, num_blocks: int) -> None:
        """Checks that something of the space is within the limits.

        Args:
            num_blocks: B.

        Raises:
            ValueError: If not, with the smallest cost that there is.
        """
        smallest = self.cost(smallest_architecture(num_blocks))
        for name, most in zip(COSTS, self.limits, strict=True):
            least = getattr(smallest, name)
            if most and least > most:
                raise ValueError(
                    f"limits.max_{name} is {most:,}, but no architecture of {num_blocks} blocks a cell "
                    f"has fewer than {least:,} in this network ({self.macro.num_cells} cells a stage, "
                    f"{self.macro.num_filters} filters). Raise it, or make the network smaller."
                )


def make_budget(config: ml_collections.ConfigDict, child: Macro) -> Budget:
    """The budget of a search's configuration.

    Args:
        config: Of the search.
        child: The skeleton of its children.

    Raises:
        FileNotFoundError: If `reward.network` names a file that is not there.
        ValueError: If that is no configuration of a training, or nothing is within the limits.
    """
    part = config.reward
    budget = Budget(
        macro=child if part.network == CHILD else network_macro(part.network),
        cost_name=part.cost,
        target=part.target,
        form=part.form,
        weight=part.weight,
        limits=(config.limits.max_params, config.limits.max_macs),
    )
    budget.check_possible(config.num_blocks)
    return budget


def check_budget(config: ml_collections.ConfigDict) -> None:
    """Checks the fields of `reward` and `limits` against each other.

    Raises:
        ValueError: Naming the field, its value and what is allowed.
    """
    part = config.reward
    for field, allowed in (("cost", ("", *COSTS)), ("form", tuple(FORMS))):
        if part[field] not in allowed:
            known = ", ".join(name or "empty" for name in allowed)
            raise ValueError(f"reward.{field} must be one of {known}, but it is {part[field]!r}.")
    if part.cost and not part.target:
        raise ValueError(
            f"reward.cost is {part.cost!r}, but there is no reward.target: say how many {part.cost} the "
            "network should have."
        )
    if part.target and not part.cost:
        raise ValueError("reward.target is of no cost: set reward.cost to params or macs.")
