"""The fields of a training's configuration; an experiment in `configs/` changes what it needs."""

from __future__ import annotations

import ml_collections

from nasnet_jax.data import Dataset
from nasnet_jax.space import Macro


def default_config() -> ml_collections.ConfigDict:
    """NASNet-A 6 @ 768 on CIFAR-10, without the regularisation of the published training.

    Where nothing else is said, the numbers are those of slim's CIFAR network.
    """
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.architecture = "nasnet_a"  # Or the path of a .json file, or the one-line form.
    config.batch_size = 32
    config.epochs = 600
    config.learning_rate = 0.025  # The first; falls to 0 along a cosine, step by step.
    config.momentum = 0.9
    config.weight_decay = 5e-4  # Of convolution and classifier kernels.
    config.max_grad_norm = 5.0
    config.crop_padding = 4  # Pixels.
    config.flip = True
    config.checkpoint_epochs = 10  # Between checkpoints, and evaluations on the test images.
    config.checkpoints_to_keep = 2

    config.dataset = ml_collections.ConfigDict()
    config.dataset.name = "cifar10"  # digits, fake, folder:PATH, or a name of TFDS.
    config.dataset.data_dir = ""  # Of TFDS; empty for its default.
    config.dataset.image_size = 0  # Pixels to bring all images to; 0 leaves them as they are.

    config.model = ml_collections.ConfigDict()
    config.model.num_cells = 6  # N.
    config.model.num_filters = 32  # F.
    config.model.num_reductions = 2
    config.model.stem_multiplier = 3.0
    config.model.uniform_inputs = False

    config.batch_norm = ml_collections.ConfigDict()
    config.batch_norm.decay = 0.9
    config.batch_norm.epsilon = 1e-5
    # Examples over which statistics are taken; 0 is the whole batch. A device holds whole groups,
    # so that a step is the same function of the batch on any number of devices.
    config.batch_norm.group_size = 0
    return config


def train_macro(config: ml_collections.ConfigDict, dataset: Dataset) -> Macro:
    """The skeleton of the network for these images.

    Raises:
        ValueError: If the images are too small for the reductions, or a field is out of range.
    """
    height, width, channels = dataset.image_shape
    return Macro(
        num_classes=dataset.num_classes,
        image_size=(height, width),
        image_channels=channels,
        **config.model,
    )


def check_config(config: ml_collections.ConfigDict) -> None:
    """Checks what can be checked before any data is read.

    Raises:
        ValueError: Naming the field, its value and what is allowed.
    """
    for name, least in (
        ("batch_size", 1),
        ("epochs", 1),
        ("crop_padding", 0),
        ("checkpoint_epochs", 1),
        ("checkpoints_to_keep", 1),
    ):
        if config[name] < least:
            raise ValueError(f"{name} must be at least {least}, but it is {config[name]}.")
    group = config.batch_norm.group_size
    if group < 0 or (group and config.batch_size % group):
        raise ValueError(
            f"batch_norm.group_size ({group}) must be 0 (the whole batch) or divide batch_size "
            f"({config.batch_size})."
        )
