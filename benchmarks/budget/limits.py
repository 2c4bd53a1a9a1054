"""How a strategy best learns of a limit: architectures above it drawn again, or given a reward.

    python benchmarks/budget/limits.py

Searches of 600 children with known rewards, so nothing is trained. `cost` grows with the multiply-adds
and saturates, with something for separable convolutions: the best lies at the limit. `pairs` is the share
of blocks whose two operations are equal, which costs nothing. The limit leaves about a tenth, or a
fiftieth, of what a uniform draw proposes. "again" lets the strategy propose until a batch is full, and
tells it nothing of the architectures above the limit; "zero" tells it of each of them, with the reward 0,
and "worst" with the worst reward of the last batch that had one.
"""

from __future__ import annotations

import argparse
import functools
import json
import pathlib
import time
from collections.abc import Callable

import jax
import numpy as np

from nasnet_jax.search.budget import Budget
from nasnet_jax.search.proposing import draw
from nasnet_jax.search.strategies import make_strategy
from nasnet_jax.search.strategy import Strategy
from nasnet_jax.space import OPERATIONS, Architecture, Macro, choices

CHILDREN, BATCH = 600, 20
MACRO = Macro(
    num_cells=1,
    num_filters=8,
    num_classes=10,
    image_size=8,
    image_channels=1,
    uniform_inputs=True,
)
LIMITS = {"a tenth": 951_000, "a fiftieth": 800_000}
STRATEGIES = {
    "ppo": {"name": "ppo", "learning_rate": 0.005},
    "reinforce": {"name": "reinforce", "learning_rate": 0.005},
    "evolution": {"name": "evolution", "population_size": 60, "sample_size": 15},
}
Reward = Callable[[np.ndarray, np.ndarray], np.ndarray]


def of_cost(rows: np.ndarray, macs: np.ndarray) -> np.ndarray:
    separable = [OPERATIONS.index(name) for name in OPERATIONS if name.startswith("sep")]
    share = np.isin(rows.reshape(len(rows), -1, 5)[..., 2:4], separable).mean((1, 2))
    return 0.9 - 0.5 * np.exp(-macs / 500_000) + 0.1 * share


def of_pairs(rows: np.ndarray, macs: np.ndarray) -> np.ndarray:
    blocks = rows.reshape(len(rows), -1, 5)
    return (blocks[..., 2] == blocks[..., 3]).mean(1)


REWARDS: dict[str, Reward] = {"cost": of_cost, "pairs": of_pairs}


def again(strategy: Strategy, budget: Budget, reward: Reward, seed: int) -> tuple[np.ndarray, int]:
    """The rewards of the children, and how many architectures were above the limit."""
    state, rewards, refused = strategy.init(jax.random.key(seed)), [], 0
    for _ in range(CHILDREN // BATCH):
        state, proposal, more = draw(strategy, state, BATCH, budget.allowed)
        found = reward(proposal.decisions, macs_of(budget, proposal.decisions))
        state, _ = strategy.observe(state, proposal, found.astype(np.float32))
        rewards.append(found)
        refused += more
    return np.concatenate(rewards), refused


def told(
    strategy: Strategy, budget: Budget, reward: Reward, seed: int, *, with_worst: bool
) -> tuple[np.ndarray, int]:
    """The same, where the strategy is told of them."""
    state, rewards, refused = strategy.init(jax.random.key(seed)), [], 0
    worst = 0.0
    while sum(map(len, rewards)) < CHILDREN:
        state, proposal = strategy.propose(state, BATCH)
        rows = np.asarray(proposal.decisions)
        kept = budget.allowed(rows)
        found = reward(rows, macs_of(budget, rows))
        rewards.append(found[kept])
        if with_worst and kept.any():
            worst = found[kept].min()
        heard = np.where(kept, found, worst)
        state, _ = strategy.observe(state, proposal, heard.astype(np.float32))
        refused += int((~kept).sum())
    return np.concatenate(rewards)[:CHILDREN], refused


METHODS = {
    "again": again,
    "zero": functools.partial(told, with_worst=False),
    "worst": functools.partial(told, with_worst=True),
}


def macs_of(budget: Budget, rows: np.ndarray) -> np.ndarray:
    return np.array([budget.cost(Architecture.from_decisions(row)).macs for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("limits.json"))
    arguments = parser.parse_args()
    table = []
    for limit, most in LIMITS.items():
        budget = Budget(macro=MACRO, limits=(0, most))
        for reward_name, reward in REWARDS.items():
            for name, fields in STRATEGIES.items():
                strategy = make_strategy(fields, choices(5))
                for told_how, method in METHODS.items():
                    started = time.time()
                    found = [method(strategy, budget, reward, s) for s in range(arguments.seeds)]
                    best, last = ([f(r) for r, _ in found] for f in (np.max, of_last))
                    table.append(
                        {
                            "limit": limit,
                            "reward": reward_name,
                            "strategy": name,
                            "told": told_how,
                            "best": round(float(np.mean(best)), 4),
                            "last": round(float(np.mean(last)), 4),
                            "refused": round(float(np.mean([n for _, n in found]))),
                            "seconds": round(time.time() - started, 1),
                        }
                    )
                    print(*table[-1].values(), sep="\t", flush=True)
    arguments.output.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def of_last(rewards: np.ndarray) -> float:
    return float(rewards[-100:].mean())


if __name__ == "__main__":
    main()
