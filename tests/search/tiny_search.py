"""The smallest search that has everything; also a file for `--config`, for tests of the command."""

from nasnet_jax.search.config import default_config


def get_config():
    config = default_config()
    config.num_blocks = 2
    config.num_children = 9
    config.children_per_batch = 3
    config.dataset.name = "digits"
    config.dataset.num_validation = 300
    config.strategy.learning_rate = 0.01
    config.child.num_cells = 1
    config.child.num_filters = 2
    # Without reduction cells the program has a third of the branches to compile. Networks with
    # them are trained in test_child_program.py.
    config.child.num_reductions = 0
    config.child.epochs = 2
    config.child.batch_size = 64
    config.child.crop_padding = 1
    config.child.flip = False
    config.rerank.top_k = 2
    config.rerank.epochs = 3
    return config
