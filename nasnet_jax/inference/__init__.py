"""Trained networks: saved, loaded on one device wherever they were saved, and used for prediction.

Nothing here imports TensorFlow, so that a server starts without it.
"""

from nasnet_jax.inference.description import ModelDescription, serving_layers
from nasnet_jax.inference.preprocessing import Preprocessing
from nasnet_jax.inference.saved_model import find_model, read_description, read_model, save_model

__all__ = [
    "ModelDescription",
    "Preprocessing",
    "find_model",
    "read_description",
    "read_model",
    "save_model",
    "serving_layers",
]
