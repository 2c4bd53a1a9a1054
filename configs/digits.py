"""Trains NASNet-A, or what a search found, on scikit-learn's digits; needs no download.

    python -m nasnet_jax.train --config=configs/digits.py --workdir=runs/digits \\
        --config.architecture=runs/quickstart/search/best_architecture.json

1,437 training and 360 test images of 8x8 pixels; N=1, F=8 and 20 epochs of 22 steps. It is meant
for two cores, where compilation is a large part of the time. Without `--config.architecture` it
trains NASNet-A.
"""

from nasnet_jax.train.config import default_config


def get_config():
    config = default_config()
    config.batch_size = 64
    config.epochs = 20.0
    config.aux_weight = 0.0  # The maps are too small for the auxiliary head.
    config.log_steps = 22

    config.dataset.name = "digits"
    config.dataset.image_size = 8
    config.dataset.channels = 1

    config.augment.crop_padding = 1
    config.augment.flip = False

    config.model.num_cells = 1
    config.model.num_filters = 8

    config.drop_path.final_drop_prob = 0.0  # Too few steps for so much of it.
    config.optimizer.learning_rate = 0.05
    return config
