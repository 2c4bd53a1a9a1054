"""The smallest training that has everything; also a file for `--config`, for tests of the command.

It has more epochs than a test waits for, so that no signal comes too late: whoever starts it ends it.
"""

from nasnet_jax.train.config import default_config

STEPS_PER_EPOCH = 6
"""From one checkpoint to the next one; 1,437 images are 5.6 batches."""


def get_config():
    config = default_config()
    config.architecture = "normal: sep_conv_3x3(0)+identity(1); reduction: conv_1x1(0)+identity(1)"
    config.batch_size = 256
    config.epochs = 3000
    config.ema_decay = 0.9
    config.aux_weight = 0.0
    config.log_steps = 3
    config.checkpoint_epochs = 1
    config.checkpoints_to_keep = 100
    config.dataset.name = "digits"
    config.dataset.image_size = 8
    config.dataset.channels = 1
    config.model.num_cells = 1
    config.model.num_filters = 4
    config.model.num_reductions = 0
    config.drop_path.final_drop_prob = 0.1
    config.batch_norm.group_size = 64
    config.augment.crop_padding = 1
    config.augment.flip = False
    return config
