"""Trained networks: saved, loaded on one device wherever they were saved, and used for prediction.

Nothing here imports TensorFlow, so that a server starts without it.
"""

from nasnet_jax.data.image_file import open_image
from nasnet_jax.inference.description import ModelDescription, serving_layers
from nasnet_jax.inference.folding import fold_batch_norm
from nasnet_jax.inference.model import Model, Prediction, load
from nasnet_jax.inference.preprocessing import Preprocessing
from nasnet_jax.inference.saved_model import (
    find_model,
    read_description,
    read_model,
    read_network,
    save_model,
)

__all__ = [
    "Model",
    "ModelDescription",
    "Prediction",
    "Preprocessing",
    "find_model",
    "fold_batch_norm",
    "load",
    "open_image",
    "read_description",
    "read_model",
    "read_network",
    "save_model",
    "serving_layers",
]
