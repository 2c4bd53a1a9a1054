"""Trains NASNet-A Mobile (4 @ 1056, 224 pixels), or what a search found, on ImageNet.

    python -m nasnet_jax.train --config=configs/imagenet_mobile.py --workdir=DIR

The paper reports 74.0 % top-1 and 91.6 % top-5 (Table 3). Not run by us. No path is ever dropped
here, as in the released code, so that `:released` is the same. 250,000 steps of 1,600 images, 564
million multiply-adds each: about 1.4 * 10^18 operations with the gradients. On fewer devices raise
`--config.accumulation_steps` (a device computes at least one group of 32 at a time); the result is
that of one big batch.
"""

from nasnet_jax.train.config import imagenet_config, use_variant


def get_config(variant: str = ""):
    config = imagenet_config()
    config.weight_decay = 4e-5
    config.dataset.image_size = 224

    config.model.num_cells = 4
    config.model.num_filters = 44
    config.model.stem_multiplier = 1.0

    config.drop_path.final_drop_prob = 0.0
    config.batch_norm.group_size = 32  # The batch of each of slim's 50 replicas.

    config.optimizer.learning_rate = 0.04  # 2.0 for the batch of 1,600.
    config.optimizer.reference_batch_size = 32
    use_variant(config, variant, released_drop=0.0)
    return config
