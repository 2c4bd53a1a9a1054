"""The fields of a search's configuration, with the paper's values where the paper has them."""

from __future__ import annotations

import ml_collections
from ml_collections import config_dict

from nasnet_jax import ranges
from nasnet_jax.config_checks import check_fields
from nasnet_jax.search.budget import check_budget
from nasnet_jax.search.rungs import check_rungs
from nasnet_jax.space import Macro

SAVES_MEMORY = "a smaller child.batch_size, child.num_filters or child.num_cells"
"""What needs less memory on the devices."""


RANGES = {
    "seed": ranges.SEED,
    "num_blocks": ranges.Range(2, 7),
    "num_children": ranges.COUNT,
    "children_per_batch": ranges.Range(1, 10_000),
    "checkpoints_to_keep": ranges.COUNT,
    "dataset.image_size": ranges.Range(0, ranges.PIXELS.most),
    "dataset.num_validation": ranges.COUNT,
    "dataset.num_train": ranges.COUNT_OR_NONE,
    "dataset.fake.num_train": ranges.COUNT,
    "dataset.fake.num_test": ranges.COUNT,
    "dataset.fake.num_classes": ranges.Range(2, 100_000),
    "dataset.fake.image_size": ranges.PIXELS,
    "dataset.fake.channels": ranges.Range(1, 64),
    "strategy.learning_rate": ranges.RATE,
    "strategy.entropy_weight": ranges.RATE_OR_NONE,
    "strategy.baseline_decay": ranges.SHARE,
    "strategy.hidden_size": ranges.Range(1, 4096),
    "strategy.temperature": ranges.RATE,
    "strategy.tanh_constant": ranges.RATE,
    "strategy.max_grad_norm": ranges.RATE,
    "strategy.minibatch": ranges.Range(1, 10_000),
    "strategy.clip": ranges.RATE,
    "strategy.epochs": ranges.Range(1, 1000),
    "strategy.population_size": ranges.Range(1, 10**6),
    "strategy.sample_size": ranges.Range(1, 10_000),
    "child.num_cells": ranges.CELLS,
    "child.num_filters": ranges.FILTERS,
    "child.num_reductions": ranges.REDUCTIONS,
    "child.epochs": ranges.Range(1, 10_000),
    "child.batch_size": ranges.COUNT,
    "child.learning_rate": ranges.RATE,
    "child.momentum": ranges.SHARE,
    "child.weight_decay": ranges.RATE_OR_NONE,
    "child.max_grad_norm": ranges.RATE,
    "child.crop_padding": ranges.PADDING,
    "rerank.top_k": ranges.COUNT_OR_NONE,
    "rerank.epochs": ranges.Range(1, 10_000),
    "halving.keep": ranges.Range(0, 1, above=True, below=True),
    "reward.target": ranges.AMOUNT_OR_NONE,
    "reward.weight": ranges.Range(-1000, 0, below=True),
    "limits.max_params": ranges.AMOUNT_OR_NONE,
    "limits.max_macs": ranges.AMOUNT_OR_NONE,
    "mesh.arch": ranges.Range(-1, 10**6),
    "mesh.data": ranges.Range(1, 10**6),
    "mesh.children_per_device": ranges.Range(0, 1024),
    "mesh.chunk": ranges.Range(0, 1024),
}
"""What the numbers may be. Their upper ends are far from use; they meet what is mistyped before it is
compiled or takes the memory."""


def default_config() -> ml_collections.ConfigDict:
    """The paper's search on CIFAR-10; an experiment in `configs/` changes what it needs.

    "Ours" marks what the paper does not state.
    """
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.num_blocks = 5  # B, blocks in a cell.
    config.num_children = 20_000
    config.children_per_batch = 20  # The minibatch of architectures between controller updates.
    config.retrain_duplicates = False  # Ours: an architecture seen before keeps its reward.
    config.checkpoints_to_keep = 2
    # The history.csv of other searches; their children are learnt from before the first proposal.
    config.warm_start = ()

    config.dataset = ml_collections.ConfigDict()
    config.dataset.name = "cifar10"  # digits, fake, folder:PATH, arrays:FILE or a name of TFDS.
    config.dataset.data_dir = ""  # Of TFDS; empty for its default.
    # Of TFDS, and not searched on; empty for `test`, else `validation`, else the last fifth.
    config.dataset.test_split = ""
    config.dataset.image_size = 0  # Pixels to bring all images to; 0 leaves them as they are.
    config.dataset.skip_damaged = False  # Leaves out images that cannot be decoded.
    config.dataset.num_validation = 5_000  # Held out of the training images (A.1).

    config.dataset.num_train = 0  # Of the others, drawn at random; 0: all (45,000 in A.1).
    # What `fake` makes up.
    config.dataset.fake = ml_collections.ConfigDict()
    config.dataset.fake.num_train = 50_000
    config.dataset.fake.num_test = 10_000
    config.dataset.fake.num_classes = 10
    config.dataset.fake.image_size = 32
    config.dataset.fake.channels = 3

    config.strategy = ml_collections.ConfigDict()
    config.strategy.name = "ppo"  # ppo, reinforce, random or evolution.
    # Of ppo and reinforce.
    config.strategy.learning_rate = 0.00035
    config.strategy.entropy_weight = 0.00001
    config.strategy.baseline_decay = 0.95
    config.strategy.hidden_size = 100
    config.strategy.temperature = 1.0  # Ours, as are the next two, which None leaves out.
    config.strategy.tanh_constant = config_dict.placeholder(float)
    config.strategy.max_grad_norm = config_dict.placeholder(float)
    # Of ppo.
    config.strategy.minibatch = 20
    config.strategy.clip = 0.2  # Ours, as is the number of epochs.
    config.strategy.epochs = 4
    # Of evolution; Real et al., 2019. It draws at random until the population is full.
    config.strategy.population_size = 100
    config.strategy.sample_size = 25
    config.strategy.mutation = (
        "decision"  # Any, ours; or published: an operation or a hidden state.
    )

    config.child = ml_collections.ConfigDict()
    config.child.num_cells = 2  # N.
    config.child.num_filters = 32  # F; ours.
    config.child.num_reductions = 2
    config.child.epochs = 20
    config.child.batch_size = 128  # Ours.
    config.child.learning_rate = 0.1  # Ours; cosine, one period (A.1).
    config.child.momentum = 0.9
    config.child.weight_decay = 5e-4  # slim's CIFAR network.
    config.child.max_grad_norm = 5.0  # slim's CIFAR network.
    config.child.crop_padding = 4  # Pixels; random crops of 32x32 from 40x40 (A.1).
    config.child.flip = True
    config.child.bfloat16 = False  # Compute type; parameters and statistics stay float32.

    config.rerank = ml_collections.ConfigDict()
    config.rerank.top_k = 250
    config.rerank.epochs = 300  # Ours; the paper trains "until convergence".

    # What the children are rewarded for; see docs/budget.md.
    # Of a batch, the better part is trained on after these epochs, the others are stopped.
    config.halving = ml_collections.ConfigDict()
    config.halving.rungs = ()  # Such as (2, 5); empty to train all to the end.
    config.halving.keep = 0.5  # The share that goes on, rounded up.

    config.reward = ml_collections.ConfigDict()
    config.reward.cost = ""  # params or macs, that enter the reward; empty for accuracy alone.
    config.reward.target = 0  # So many of them.
    config.reward.form = "absolute"  # TuNAS, or power: MnasNet.
    config.reward.weight = (
        -0.07
    )  # MnasNet's, and of its kin; a deviation by the target costs as much.
    # Whose cost counts, here and in `limits` and the history: child, or a training's configuration.
    config.reward.network = "child"

    # Architectures to compare with: names, files or one-line forms; trained like children, beside them.
    config.reference = ()

    config.limits = ml_collections.ConfigDict()  # No architecture above them is trained; 0: none.
    config.limits.max_params = 0
    config.limits.max_macs = 0

    config.mesh = ml_collections.ConfigDict()
    config.mesh.arch = -1  # Devices over which children are spread; -1: all that are left.
    config.mesh.data = 1  # Devices that share one child's batch.
    config.mesh.children_per_device = 1  # K, trained at the same time; 0: as many as fit.
    config.mesh.chunk = 0  # s, layers that run at once; 0: a quarter of K, at most 16.
    config.mesh.cuda_graphs = False  # On GPUs; whether they run and are faster was not measured.
    return config


def search_macro(
    config: ml_collections.ConfigDict, image_shape: tuple[int, int, int], num_classes: int
) -> Macro:
    """The skeleton of the children.

    Args:
        config: Of the search.
        image_shape: Height, width and channels.
        num_classes: Of the data set.

    Raises:
        ValueError: If the images are too small for the reductions, or a field is out of range.
    """
    height, width, channels = image_shape
    return Macro(
        num_cells=config.child.num_cells,
        num_filters=config.child.num_filters,
        num_reductions=config.child.num_reductions,
        num_classes=num_classes,
        image_size=(height, width),
        image_channels=channels,
        uniform_inputs=True,
    )


def check_config(config: ml_collections.ConfigDict) -> None:
    """Checks what can be checked before any data is read.

    Raises:
        ValueError: Naming the field, its value and what is allowed.
    """
    check_fields(config, default_config(), RANGES)
    _check_population(config)
    check_budget(config)
    check_rungs(config.halving.rungs, config.child.epochs)
    if config.child.batch_size % config.mesh.data:
        raise ValueError(
            f"child.batch_size ({config.child.batch_size}) must be a multiple of mesh.data "
            f"({config.mesh.data}), the number of devices that share a child's batch."
        )


def _check_population(config: ml_collections.ConfigDict) -> None:
    """Refuses an evolution whose every child would be drawn at random."""
    if config.strategy.name != "evolution" or config.warm_start:
        return
    size = config.strategy.population_size
    before_last = (config.num_children - 1) // config.children_per_batch * config.children_per_batch
    if size > before_last:
        raise ValueError(
            f"strategy.population_size is {size}, and evolution draws at random until so many "
            f"children were trained, but before the last batch of this search (num_children="
            f"{config.num_children}, children_per_batch={config.children_per_batch}) that are only "
            f"{before_last}. Lower strategy.population_size, to a third of the children or less, and "
            "strategy.sample_size to a quarter of it; or train more children, in smaller batches."
        )
