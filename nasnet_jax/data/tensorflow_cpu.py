"""TensorFlow as this package uses it: quiet, and only on the host's processor.

TensorFlow reads and decodes images and nothing else. Modules that need it import it from here; it
takes seconds to load, so `nasnet_jax.data` imports those modules when a function first needs them.
"""

from __future__ import annotations

import os

# Before TensorFlow is loaded: none of its notes on oneDNN.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import tensorflow as tf  # noqa: E402

# TensorFlow would otherwise reserve the memory of the GPUs that JAX computes on.
tf.config.set_visible_devices([], "GPU")

__all__ = ["tf"]
