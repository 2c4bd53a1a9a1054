"""Training of one architecture as a static NASNet, at the size at which it is to be used."""

from nasnet_jax.train.config import default_config
from nasnet_jax.train.loop import Progress, run

__all__ = ["Progress", "default_config", "run"]
