"""A real search on real images in a few minutes on two cores, without a download.

    make quickstart

or `python -m nasnet_jax.search --config=configs/quickstart.py --workdir=runs/quickstart`.

scikit-learn's 1,797 digits of 8x8 pixels; the paper's space and controller, smaller children (N=1,
F=8, 4 epochs). 60 children are three updates of the controller, too few to learn much: this shows
that everything works. `search_cifar10_small.py` searches for longer.
"""

from nasnet_jax.search.config import default_config


def get_config():
    config = default_config()
    config.num_children = 60
    config.dataset.name = "digits"
    config.dataset.num_validation = 300
    # At the paper's 0.00035 three updates would change nothing.
    config.strategy.learning_rate = 0.005
    config.strategy.population_size = 20  # Of evolution; the paper's 100 is for 20,000 children.
    config.strategy.sample_size = 5
    config.child.num_cells = 1
    config.child.num_filters = 8
    config.child.epochs = 4
    config.child.batch_size = 64
    config.child.crop_padding = 1
    config.child.flip = False
    config.rerank.top_k = 4
    config.rerank.epochs = 12
    return config
