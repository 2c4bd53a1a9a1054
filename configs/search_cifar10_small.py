"""A search on CIFAR-10 for a two-core machine: small children, a few hundred of them.

    python -m nasnet_jax.search --config=configs/search_cifar10_small.py --workdir=DIR \
        --config.dataset.data_dir=DATA

300 children are 15 updates of the controller: at the paper's learning rate of 0.00035 it would learn
nothing, so it is larger here. The reward is accuracy after one epoch of a narrow network on 8,000
images of 16x16 pixels, a rough guide to what the architecture is worth at full size.

Measured with a part of CIFAR-10 on two cores with nothing else to do: 39 s to compile, then 311 children
an hour, with rewards from 0.22 to 0.34 for the first 10; the re-ranking comes on top.
"""

from nasnet_jax.search.config import default_config


def get_config():
    config = default_config()
    config.num_children = 300
    config.strategy.learning_rate = 0.005
    config.strategy.population_size = 40  # Of evolution; the paper's 100 is for 20,000 children.
    config.strategy.sample_size = 10
    config.dataset.image_size = 16
    config.dataset.num_validation = 1_000
    config.dataset.num_train = 8_000
    config.child.num_cells = 1
    config.child.num_filters = 8
    config.child.epochs = 1
    config.child.batch_size = 64
    config.rerank.top_k = 5
    config.rerank.epochs = 4
    return config
