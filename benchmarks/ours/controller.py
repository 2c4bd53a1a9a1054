"""Worker: proposes a batch of architectures and updates the controller by made-up rewards."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from worker import Run, serve

from nasnet_jax.search.config import default_config
from nasnet_jax.search.strategies import make_strategy
from nasnet_jax.space import choices

CHILDREN = 20


def prepare(_: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    config = default_config()
    strategy: Any = make_strategy(config.strategy, choices(config.num_blocks))
    rng = np.random.default_rng(0)
    state = strategy.init(jax.random.key(0))

    def run(message: dict[str, Any]) -> dict[str, Any]:
        nonlocal state
        for _ in range(message["times"]):
            rewards = rng.uniform(size=CHILDREN).astype(np.float32)
            state, proposal = strategy.propose(state, CHILDREN)
            state, _metrics = strategy.observe(state, proposal, rewards)
            jax.block_until_ready(state)
        kind = type(strategy)
        return {
            "compilations": {
                name: getattr(kind, name)._cache_size() for name in ("propose", "observe")
            }
        }

    return run, {}


if __name__ == "__main__":
    serve(prepare)
