"""Trains NASNet-A Large (6 @ 4032, 331 pixels), or what a search found, on ImageNet.

    python -m nasnet_jax.train --config=configs/imagenet_large.py --workdir=DIR
    python -m nasnet_jax.train --config=configs/imagenet_large.py:released --workdir=DIR

The paper reports 82.7 % top-1 and 96.2 % top-5 (Table 2); that stands beside `:released` alone,
with the released code's final drop probability of 0.3 in place of 0.7. Not run by us.
250,000 steps of 1,600 images, 23.8 billion multiply-adds each: meant for a pod. On fewer devices
raise `--config.accumulation_steps` (a device computes at least one group of 16 at a time); the
result is that of one big batch.
"""

from nasnet_jax.train.config import imagenet_config, use_variant


def get_config(variant: str = ""):
    config = imagenet_config()
    config.weight_decay = 5e-5
    config.dataset.image_size = 331

    config.model.num_cells = 6
    config.model.num_filters = 168
    config.model.skip_reduction_layer_input = True

    config.batch_norm.group_size = 16  # The batch of each of slim's 100 replicas.

    config.optimizer.learning_rate = 0.015  # 1.5 for the batch of 1,600.
    config.optimizer.reference_batch_size = 16
    use_variant(config, variant, released_drop=0.3)
    return config
