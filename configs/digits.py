"""Trains NASNet-A, or what a search found, on scikit-learn's digits; needs no download.

    python -m nasnet_jax.train --config=configs/digits.py --workdir=runs/digits \\
      --config.architecture=runs/quickstart/best_architecture.json

1,437 training and 360 test images of 8x8 pixels; N=1, F=8 and 20 epochs of 22 steps. It is meant
for two cores, where compilation is a large part of the time. Without `--config.architecture` it
trains NASNet-A.
"""

from nasnet_jax.train.config import default_config


def get_config():
    config = default_config()
    config.dataset.name = "digits"
    config.model.num_cells = 1
    config.model.num_filters = 8
    config.batch_size = 64
    config.batch_norm.group_size = 32
    config.epochs = 20
    config.learning_rate = 0.1
    config.crop_padding = 1
    config.flip = False
    return config
