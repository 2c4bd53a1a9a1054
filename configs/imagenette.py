"""Trains a small NASNet-A, or what a search found, on Imagenette: ten classes of ImageNet.

    python -m nasnet_jax.train --config=configs/imagenette.py --workdir=DIR \\
        --config.dataset.data_dir=DATA

The ImageNet recipe (Inception crops, RMSProp, moving average) at a size for two cores: N=1, F=8, 64
pixels. TFDS prepares the data set where it is not (`imagenette/160px-v2`, 100 MB).
"""

from nasnet_jax.train.config import default_config


def get_config():
    config = default_config()
    config.batch_size = 64
    config.epochs = 40.0
    config.weight_decay = 4e-5
    config.max_grad_norm = 10.0
    config.label_smoothing = 0.1
    config.ema_decay = 0.999
    config.log_steps = 10
    config.checkpoint_epochs = 5.0

    config.dataset.name = "imagenette/160px-v2"
    config.dataset.image_size = 64
    config.dataset.in_memory = False
    config.dataset.preparation = "imagenet"

    config.model.num_cells = 1
    config.model.num_filters = 8
    config.model.stem = "imagenet"
    config.model.stem_multiplier = 1.0

    config.aux_weight = 0.0  # The maps in front of the last reduction are too small for the head.
    config.drop_path.final_drop_prob = 0.0  # A network this small does not overfit.
    config.batch_norm.decay = 0.97
    config.batch_norm.epsilon = 1e-3

    config.optimizer.name = "rmsprop"
    config.optimizer.learning_rate = 0.04
    config.optimizer.schedule = "exponential"
    return config
