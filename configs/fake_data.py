"""The whole search on images that are made up, to see it run and to measure its speed.

    python -m nasnet_jax.search --config=configs/fake_data.py --workdir=DIR

Rewards mean nothing here. A few minutes on two cores, most of it compilation.
"""

from nasnet_jax.search.config import default_config


def get_config():
    config = default_config()
    config.num_children = 8
    config.children_per_batch = 4
    config.dataset.name = "fake"
    config.dataset.num_validation = 64
    config.dataset.fake.num_train = 1_024
    config.dataset.fake.num_test = 256
    config.child.num_cells = 1
    config.child.num_filters = 8
    config.child.epochs = 1
    config.child.batch_size = 32
    config.rerank.top_k = 2
    config.rerank.epochs = 2
    return config
