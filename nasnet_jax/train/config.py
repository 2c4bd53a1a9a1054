"""The fields of a training's configuration; an experiment in `configs/` changes what it needs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import ml_collections

from nasnet_jax import ranges
from nasnet_jax.config_checks import check_fields
from nasnet_jax.nn.borders import EDGES
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.space import Architecture, Macro, parse_architecture

SAVES_MEMORY = "accumulation_steps, remat=True or a smaller batch_size"
"""What needs less memory on the devices."""

_EPOCHS = ranges.Range(0, 10**6, above=True)
RANGES = {
    "seed": ranges.SEED,
    "batch_size": ranges.COUNT,
    "accumulation_steps": ranges.COUNT,
    "epochs": _EPOCHS,
    "weight_decay": ranges.RATE_OR_NONE,
    "max_grad_norm": ranges.RATE_OR_NONE,
    "label_smoothing": ranges.SHARE,
    "aux_weight": ranges.RATE_OR_NONE,
    "dropout_rate": ranges.SHARE,
    "ema_decay": ranges.SHARE,
    "log_steps": ranges.COUNT,
    "checkpoint_epochs": _EPOCHS,
    "checkpoints_to_keep": ranges.COUNT,
    "best_checkpoints_to_keep": ranges.COUNT_OR_NONE,
    "dataset.image_size": ranges.PIXELS,
    "dataset.channels": ranges.Range(1, 64),
    "dataset.num_classes": ranges.Range(2, 10**6),
    "augment.crop_padding": ranges.PADDING,
    "augment.cutout": ranges.Range(0, ranges.PIXELS.most),
    "model.num_cells": ranges.CELLS,
    "model.num_filters": ranges.FILTERS,
    "model.num_reductions": ranges.REDUCTIONS,
    "model.stem_multiplier": ranges.Range(0, 1000, above=True),
    "drop_path.final_drop_prob": ranges.SHARE,
    "batch_norm.decay": ranges.Range(0, 1),  # 1 keeps those of the model in `init_from`.
    "batch_norm.epsilon": ranges.Range(0, 1),
    "batch_norm.group_size": ranges.COUNT_OR_NONE,
    "optimizer.learning_rate": ranges.RATE,
    "optimizer.reference_batch_size": ranges.COUNT,
    "optimizer.momentum": ranges.SHARE,
    "optimizer.rms_decay": ranges.SHARE,
    "optimizer.epsilon": ranges.RATE,
    "optimizer.decay_rate": ranges.Range(0, 1, above=True),
    "optimizer.decay_epochs": _EPOCHS,
}
"""What the numbers may be. Their upper ends are far from use; they meet what is mistyped before it is
compiled or takes the memory."""

_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def default_config() -> ml_collections.ConfigDict:
    """NASNet-A 6 @ 768 on CIFAR-10.

    Where nothing else is said, the numbers are those that slim notes for its CIFAR network.
    """
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.architecture = (
        "nasnet_a"  # Or another name, the path of a .json file, or the one-line form.
    )
    config.init_from = ""  # A model's folder or a training's workdir, whose weights are the first.
    config.batch_size = 32
    config.accumulation_steps = 1  # Parts of a batch that are computed one after the other.
    config.epochs = 600.0
    config.weight_decay = 5e-4  # Of convolution and classifier kernels; a part of the loss.
    config.max_grad_norm = 5.0  # Of the whole gradient; 0 does not clip.
    config.label_smoothing = 0.0
    config.aux_weight = 0.4  # Of the auxiliary head's loss; 0 for no auxiliary head.
    config.dropout_rate = 0.0  # Of the features that the classifier reads.
    # Of the moving average of weights and statistics that is evaluated; 0 for none. As in
    # TensorFlow, update t takes at most (1 + t) / (10 + t), so that the start is forgotten.
    config.ema_decay = 0.0
    config.dtype = "auto"  # float32, bfloat16, or auto: bfloat16 but on CPU.
    config.remat = False  # Compute cells again for the gradient, to spare memory.
    config.log_steps = 100  # Between lines of progress.
    config.checkpoint_epochs = 10.0  # Between evaluations on the test images, and checkpoints.
    config.checkpoints_to_keep = 2  # The newest ones.
    config.best_checkpoints_to_keep = 1  # Those with the highest test accuracy, besides.
    config.profile = False  # Whether a few early steps are profiled, for TensorBoard.

    config.dataset = ml_collections.ConfigDict()
    config.dataset.name = "cifar10"  # digits, fake, folder:PATH, arrays:FILE or a name of TFDS.
    config.dataset.data_dir = ""  # Of TFDS; empty for its default.
    # Of TFDS, or a part such as `train[80%:]`; empty for `test`, else `validation`, else that part.
    config.dataset.test_split = ""
    config.dataset.image_size = 32  # Pixels of the square that the network sees.
    config.dataset.channels = 3
    config.dataset.num_classes = 10
    config.dataset.in_memory = True  # Decoded once; for sets that fit.
    config.dataset.skip_damaged = False  # Leaves out images that cannot be decoded.
    # cifar: whole images, shifted, mirrored, with a square cut out; imagenet: Inception's crops.
    config.dataset.preparation = "cifar"

    config.augment = ml_collections.ConfigDict()
    config.augment.crop_padding = 4  # Pixels; of `cifar`.
    config.augment.cutout = 0  # Pixels; of `cifar`.
    config.augment.flip = True  # Of both.
    config.augment.colour = True  # Of `imagenet`.

    config.model = ml_collections.ConfigDict()  # Fields of `nasnet_jax.space.Macro`.
    config.model.num_cells = 6  # N.
    config.model.num_filters = 32  # F.
    config.model.num_reductions = 2
    config.model.stem = "cifar"
    config.model.stem_multiplier = 3.0
    config.model.uniform_inputs = False
    config.model.skip_reduction_layer_input = False
    # How reduction cells treat the borders of a map: one of `nasnet_jax.nn.borders.EDGES`. Empty:
    # `same`, or what the model in `init_from` has.
    config.edges = ""

    config.drop_path = ml_collections.ConfigDict()
    config.drop_path.final_drop_prob = 0.7  # At the end of the training, rising linearly from 0.
    config.drop_path.scale_by_depth = True  # Less in early cells, all of it in the last one.

    config.batch_norm = ml_collections.ConfigDict()
    config.batch_norm.decay = 0.9
    config.batch_norm.epsilon = 0.0  # 0: 1e-5, or what the model in `init_from` has.
    # Examples over which statistics are taken. A device holds whole groups, so that a step is the
    # same function of the batch on any number of devices. 0 is all that is computed at once.
    config.batch_norm.group_size = 32

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.name = "momentum"  # Or rmsprop, as TensorFlow has it.
    config.optimizer.learning_rate = 0.025  # The first, for a batch of `reference_batch_size`:
    config.optimizer.reference_batch_size = 32  # it grows in proportion to the batch.
    config.optimizer.momentum = 0.9
    config.optimizer.rms_decay = 0.9  # This and the next are of rmsprop.
    config.optimizer.epsilon = 1.0
    config.optimizer.schedule = "cosine"  # To 0, step by step; or exponential, in stairs:
    config.optimizer.decay_rate = 0.97  # a factor
    config.optimizer.decay_epochs = 2.4  # after each of these.
    return config


def imagenet_config() -> ml_collections.ConfigDict:
    """What slim notes for its Mobile and its Large network alike, on ImageNet."""
    config = default_config()
    config.batch_size = 1600
    config.epochs = 312.2  # 250,000 steps, slim's `total_training_steps`.
    config.max_grad_norm = 10.0
    config.label_smoothing = 0.1
    config.dropout_rate = 0.5
    config.ema_decay = 0.9999
    config.checkpoint_epochs = 1.0
    config.dataset.name = "imagenet2012"
    config.dataset.num_classes = 1000
    config.dataset.in_memory = False
    config.dataset.preparation = "imagenet"
    config.model.stem = "imagenet"
    config.batch_norm.decay = 0.9997
    config.batch_norm.epsilon = 1e-3
    config.optimizer.name = "rmsprop"
    config.optimizer.schedule = "exponential"
    return config


def use_variant(config: ml_collections.ConfigDict, variant: str, *, released_drop: float) -> None:
    """Changes a configuration to the variant that follows the colon of `--config=FILE:VARIANT`.

    Args:
        config: Changed in place.
        variant: Empty, or `released` for the DropPath of the authors' released code.
        released_drop: The drop probability of that code, 1 - `drop_path_keep_prob`.

    Raises:
        ValueError: If there is no such variant.
    """
    if variant not in ("", "released"):
        raise ValueError(f"The only variant of this config is 'released', not {variant!r}.")
    if variant == "released":
        config.drop_path.final_drop_prob = released_drop
        config.drop_path.scale_by_depth = True


def config_macro(config: ml_collections.ConfigDict) -> Macro:
    """The skeleton of the network, from the configuration alone.

    Raises:
        ValueError: If the images are too small for the reductions, or a field is out of range.
    """
    return Macro(
        num_classes=config.dataset.num_classes,
        image_size=config.dataset.image_size,
        image_channels=config.dataset.channels,
        **config.model,
    )


def config_architecture(config: ml_collections.ConfigDict) -> Architecture:
    """The architecture that `config.architecture` names.

    Raises:
        ValueError: If it is none.
        FileNotFoundError: If its file is not there.
    """
    return parse_architecture(config.architecture)


def layer_config(config: ml_collections.ConfigDict) -> LayerConfig:
    """What the layers of the trained network have in common."""
    name = config.dtype
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return LayerConfig(
        dtype=None if name == "float32" else jnp.dtype(_DTYPES[name]),
        norm_decay=config.batch_norm.decay,
        norm_epsilon=config.batch_norm.epsilon or LayerConfig.norm_epsilon,
        norm_group=config.batch_norm.group_size or None,
        edges=config.edges or LayerConfig.edges,
    )


def check_config(config: ml_collections.ConfigDict) -> None:
    """Checks what can be checked before any data is read.

    Raises:
        ValueError: Naming the field, its value and what is allowed.
    """
    check_fields(config, default_config(), RANGES)
    for name, value, allowed in (
        ("dtype", config.dtype, ("auto", *_DTYPES)),
        ("edges", config.edges, ("", *EDGES)),
        ("dataset.preparation", config.dataset.preparation, ("cifar", "imagenet")),
        ("optimizer.name", config.optimizer.name, ("momentum", "rmsprop")),
        ("optimizer.schedule", config.optimizer.schedule, ("cosine", "exponential")),
    ):
        if value not in allowed:
            known = ", ".join(filter(None, allowed))
            raise ValueError(f"{name} must be one of {known}, but it is {value!r}.")
    if config.batch_size % config.accumulation_steps:
        raise ValueError(
            f"batch_size ({config.batch_size}) must be a multiple of accumulation_steps "
            f"({config.accumulation_steps})."
        )
    part = config.batch_size // config.accumulation_steps
    group = config.batch_norm.group_size
    if group and part % group:
        raise ValueError(
            f"batch_norm.group_size ({group}) must be 0 or divide batch_size / accumulation_steps "
            f"({part}), the examples that are computed at once."
        )
    if config.aux_weight and config_macro(config).aux_head_cell is None:
        raise ValueError(
            "An auxiliary head needs a reduction cell and maps of at least 5x5 in front of the last "
            "one. Set aux_weight to 0, or use larger images."
        )
