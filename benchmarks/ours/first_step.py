"""Starts a search and ends the process after its first training step: `first_step WORKDIR`.

Its children have one step an epoch, so that the first report of progress is that of the first step.
"""

from __future__ import annotations

import os
import sys

from sizes import SIZES

from nasnet_jax.platform import use_every_core


def main() -> None:
    use_every_core()
    from nasnet_jax.search import run

    config = SIZES["quickstart"].config()
    config.num_children = config.children_per_batch = 2
    config.dataset.num_train = config.child.batch_size
    config.child.epochs = 2
    # At once, as the time is over: nothing is to be saved.
    run(config, sys.argv[1], on_progress=lambda _: os._exit(0))


if __name__ == "__main__":
    main()
