"""From a folder of images to an architecture that was found for them, trained and served.

    python examples/own_images.py --images=FOLDER --workdir=runs/own

FOLDER has one folder for each class, with its images anywhere below it, or `train` and `test` with
these in both. The defaults suit a few thousand small images and a few hours of one accelerator;
`--blocks=2 --cells=1 --filters=4 --children=4` and so on make it a matter of minutes on a laptop.
Stopped, the same command goes on.
"""

from __future__ import annotations

import json
from pathlib import Path

import ml_collections
from absl import flags

from nasnet_jax import command

_IMAGES = flags.DEFINE_string("images", None, "Folder of images, for example one a class.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written.")
_SIZE = flags.DEFINE_integer("size", 32, "Pixels of the square that the networks see.")
_CHILDREN = flags.DEFINE_integer("children", 300, "Architectures to try.")
_BLOCKS = flags.DEFINE_integer("blocks", 5, "B, blocks in a cell.")
_CELLS = flags.DEFINE_integer("cells", 2, "N of the children, and of the final network.")
_FILTERS = flags.DEFINE_integer("filters", 16, "F of the children; the final network has twice it.")
_REDUCTIONS = flags.DEFINE_integer("reductions", 2, "Reduction cells; each halves the map.")
_CHILD_EPOCHS = flags.DEFINE_integer("child_epochs", 10, "Epochs of a child.")
_EPOCHS = flags.DEFINE_integer("epochs", 100, "Epochs of the final network.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images in a batch, a multiple of 32.")
_VALIDATION = flags.DEFINE_integer("validation", 500, "Images that children are scored on.")
_PORT = flags.DEFINE_integer("port", 0, "Serve at this port when all is done; 0 does not.")
flags.mark_flags_as_required(["images", "workdir"])


def search(images: Path, workdir: Path) -> Path:
    """Searches on the images; returns the file of the best architecture."""
    import nasnet_jax.search
    from nasnet_jax.search.config import default_config

    config = default_config()
    config.dataset.name = f"folder:{images}"
    config.dataset.image_size = _SIZE.value
    config.dataset.num_validation = _VALIDATION.value
    config.num_blocks = _BLOCKS.value
    config.num_children = _CHILDREN.value
    config.children_per_batch = min(20, _CHILDREN.value)
    config.strategy.learning_rate = 0.005  # There are far fewer updates than the paper's 1,000.
    config.child.num_cells = _CELLS.value
    config.child.num_filters = _FILTERS.value
    config.child.num_reductions = _REDUCTIONS.value
    config.child.epochs = _CHILD_EPOCHS.value
    config.child.batch_size = _BATCH.value
    config.rerank.top_k = min(8, _CHILDREN.value)
    config.rerank.epochs = 3 * _CHILD_EPOCHS.value
    nasnet_jax.search.run(config, workdir)
    return workdir / "best_architecture.json"


def training_config(images: Path) -> ml_collections.ConfigDict:
    """Returns how the final network is trained on the images.

    Whatever would stop the training is raised here, before a search is paid for.
    """
    from nasnet_jax.data import open_sources
    from nasnet_jax.train.config import check_config, default_config
    from nasnet_jax.train.input import open_input

    config = default_config()
    config.dataset.name = f"folder:{images}"
    config.dataset.image_size = _SIZE.value
    config.dataset.num_classes = len(open_sources(config.dataset.name)[0].class_names)
    config.model.num_cells = _CELLS.value
    config.model.num_filters = 2 * _FILTERS.value
    config.model.num_reductions = _REDUCTIONS.value
    config.epochs = float(_EPOCHS.value)
    config.batch_size = _BATCH.value
    config.aux_weight = 0.0
    config.drop_path.final_drop_prob = 0.2  # A small network on few images.
    check_config(config)
    open_input(config)
    return config


def train(
    config: ml_collections.ConfigDict, architecture: Path, workdir: Path
) -> dict[str, object]:
    """Trains the network of an architecture; returns its summary."""
    import nasnet_jax.train

    config.architecture = str(architecture)
    return nasnet_jax.train.run(config, workdir)


def main(argv: list[str]) -> None:
    """Searches, trains and serves."""
    del argv
    from nasnet_jax.paths import local_path
    from nasnet_jax.report.text import architecture_text
    from nasnet_jax.space import Architecture

    images, workdir = (local_path(flag.value).absolute() for flag in (_IMAGES, _WORKDIR))
    config = training_config(images)
    best = search(images, workdir / "search")
    print(architecture_text(Architecture.load(best)))
    summary = train(config, best, workdir / "train")
    print(json.dumps(summary, indent=2))
    if _PORT.value:
        import nasnet_jax
        from nasnet_jax.serving import Address, serve

        model = nasnet_jax.load(workdir / "train", fold=True)
        serve(model, Address(port=_PORT.value))


if __name__ == "__main__":
    command.run(main)
