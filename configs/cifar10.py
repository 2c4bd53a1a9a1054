"""Trains NASNet-A 6 @ 768, or what a search found, on CIFAR-10 (Zoph et al., 2017, Table 1).

    python -m nasnet_jax.train --config=configs/cifar10.py --workdir=DIR
    python -m nasnet_jax.train --config=configs/cifar10.py:released --workdir=DIR

600 epochs with cutout. The paper reports a test error of 2.65 % for this network (3.3 M parameters,
mean of five runs). That number stands beside `:released` alone, whose final drop probability is the
released code's 0.4; without it, the final drop probability is 0.7. Neither has been run to the end
by us. 544 M multiply-adds an image and 30 million images: about 10^17 operations, days of one
GPU.
"""

from nasnet_jax.train.config import default_config, use_variant


def get_config(variant: str = ""):
    config = default_config()
    config.augment.cutout = 16  # AdaNet's; the paper gives no size.
    use_variant(config, variant, released_drop=0.4)
    return config
