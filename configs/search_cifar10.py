"""The paper's search: 20,000 children on CIFAR-10 (Zoph et al., 2017, section 4 and appendix A).

    python -m nasnet_jax.search --config=configs/search_cifar10.py --workdir=DIR

N=2, 20 epochs, 5,000 of the training images held out, PPO with the paper's constants; what the
paper does not state is marked in `nasnet_jax/search/config.py`. It cost the authors 2,000 GPU-days;
it is meant for a pod, and has not been run by us.
"""

from nasnet_jax.search.config import default_config


def get_config():
    return default_config()
