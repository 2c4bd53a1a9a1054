"""The skeleton of a network that a training's configuration describes, from its file."""

from __future__ import annotations

import importlib.util

import ml_collections

from nasnet_jax.command_line import config_file
from nasnet_jax.paths import local_path
from nasnet_jax.space import Macro
from nasnet_jax.train.config import check_config, config_macro


def network_macro(name: str) -> Macro:
    """The skeleton of the configuration in a file.

    Args:
        name: The configuration's name or its file's path, with a variant behind a colon where it has
            some, as for `--config`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such name, or it is no configuration of a training.
    """
    try:
        file, _, variant = config_file(name).partition(":")
    except ValueError as error:
        raise ValueError(
            f"reward.network is neither 'child' nor a configuration: {error}"
        ) from error
    path = local_path(file)
    if not path.is_file():
        raise FileNotFoundError(
            f"reward.network is {name!r}: neither 'child' nor a training's configuration, such as "
            "imagenet_mobile."
        )
    spec = importlib.util.spec_from_file_location("network_of_reward", path)
    config = None
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = module.get_config(*([variant] if variant else []))
    if not isinstance(config, ml_collections.ConfigDict) or "model" not in config:
        raise ValueError(
            f"reward.network is {name!r}, which is no configuration of a training, such as "
            "imagenet_mobile."
        )
    check_config(config)
    return config_macro(config)
