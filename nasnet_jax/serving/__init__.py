"""A trained network behind HTTP. Needs the extra `serve`."""

from nasnet_jax.serving.app import make_app
from nasnet_jax.serving.requests import Limits
from nasnet_jax.serving.server import Address, serve

__all__ = ["Address", "Limits", "make_app", "serve"]
