"""Trained networks on disk: `model.json` and Orbax `weights/` in one folder.

A folder holds a whole model or is no model: on local disks it is written beside its place and
renamed, and where there is no renaming (`gs://`) `model.json` is written last and makes it one.
"""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.experimental import multihost_utils
from jax.sharding import SingleDeviceSharding

from nasnet_jax.checkpoint import check_name, not_written
from nasnet_jax.files import is_remote, open_path
from nasnet_jax.inference.description import ModelDescription, serving_layers
from nasnet_jax.inference.preprocessing import Preprocessing
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.platform import find_devices
from nasnet_jax.reading import DamagedError, read_or_prove_damage
from nasnet_jax.run_files import BEST_FILE, CONFIG_FILE

MODEL_FILE = "model.json"
WEIGHTS = "weights"
MODEL_FOLDER = "model"
"""Where a search and a training put their model inside its workdir."""
_WHAT_TO_GIVE = (
    "Give the workdir of a training or a search, "
    "or a folder that save_model or import_weights wrote."
)
_ONLY_IN_TRAINING = "aux_head"
"""The attribute of `NASNet` that holds what inference does not use."""

__all__ = [
    "MODEL_FILE",
    "MODEL_FOLDER",
    "ModelDescription",
    "Preprocessing",
    "find_model",
    "read_description",
    "read_model",
    "read_network",
    "save_model",
    "serving_layers",
]


def save_model(
    folder: str | os.PathLike[str],
    description: ModelDescription,
    parameters: nnx.State,
    statistics: nnx.State,
) -> None:
    """Writes a model, or replaces the one that is in the folder.

    What only training needs (an auxiliary head) is left out. With several processes, all of them
    call this.

    Args:
        folder: A folder or `gs://` address; its parents are made.
        description: What the network is.
        parameters: The network's `nnx.Param` state, wherever its arrays are.
        statistics: The network's `nnx.BatchStat` state.

    Raises:
        ValueError: If the folder holds something that is not a model or has a name that weights
            cannot be written below, or if the arrays are not those of the described network;
            nothing is written then.
        OSError: If it cannot be written, for example because the disk is full; of a local folder,
            what was there before is left.
    """
    target = open_path(folder)
    remote = is_remote(target)
    if not remote:
        check_name(target)
    network = description.abstract_network()
    weights = {
        "parameters": _selected(parameters, nnx.state(network, nnx.Param)),
        "statistics": _selected(statistics, nnx.state(network, nnx.BatchStat)),
    }
    if target.exists() and not (target / MODEL_FILE).exists():
        # In a remote folder an interrupted call leaves weights alone.
        ours = {WEIGHTS} if remote else set()
        if not target.is_dir() or any(child.name not in ours for child in target.iterdir()):
            raise ValueError(
                f"{target} holds something that is not a model (it has no {MODEL_FILE}), and is "
                "left as it is. Choose another folder."
            )
    place = target if remote else target.parent / f".{target.name}.incomplete"
    if jax.process_index() == 0:
        # Also what an interrupted call has left; of a remote model, first what makes it one.
        (place / MODEL_FILE).unlink(missing_ok=True)
        if place.exists():
            place.rmtree()
        place.mkdir(parents=True)
    multihost_utils.sync_global_devices("nasnet_jax model begun")
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(place / WEIGHTS, weights)
            checkpointer.wait_until_finished()
    # Above TensorStore a full disk is a ValueError.
    except (OSError, ValueError) as error:
        if jax.process_index() == 0 and not remote:
            place.rmtree()
        raise not_written(f"The model in {target}", error) from error
    if jax.process_index() == 0:
        (place / MODEL_FILE).write_text(description.to_json())
        if not remote:
            _replace(target, place)
    multihost_utils.sync_global_devices("nasnet_jax model written")


def find_model(path: str | os.PathLike[str]) -> epath.Path:
    """Finds the model folder: `path` itself, or the one in the workdir of a training or a search.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no model; the message says what it seems to be and what to do.
    """
    folder = open_path(path)
    for candidate in (folder, folder / MODEL_FOLDER):
        if (candidate / MODEL_FILE).exists():
            return candidate
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder {str(folder)!r}. {_WHAT_TO_GIVE}")
    if not folder.is_dir():
        raise ValueError(
            f"{str(folder)!r} is a file, but a model is a folder with {MODEL_FILE}. {_WHAT_TO_GIVE}"
        )
    best = folder / BEST_FILE
    if best.exists():
        raise ValueError(
            f"{str(folder)!r} is the workdir of a search that is under way: the winner's model is "
            "written at its end. Run the same search command again; it goes on where it stopped."
        )
    if (folder / CONFIG_FILE).exists():
        raise ValueError(
            f"{str(folder)!r} is the workdir of a run that has not written its model yet. Run "
            "the same command again; it goes on where it stopped."
        )
    raise ValueError(
        f"{str(folder)!r} holds no model (there is no {MODEL_FILE} in it). {_WHAT_TO_GIVE}"
    )


def read_description(path: str | os.PathLike[str]) -> ModelDescription:
    """Reads what a model is, without its weights.

    Args:
        path: As for `find_model`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no model, or a damaged one, or a newer one.
    """
    file = find_model(path) / MODEL_FILE
    try:
        return ModelDescription.from_json(file.read_text())
    except ValueError as error:  # UnicodeDecodeError is one too.
        raise ValueError(
            f"{str(file)!r} cannot be read: {error} If it was copied, copy the folder again."
        ) from error


def read_model(path: str | os.PathLike[str]) -> tuple[ModelDescription, nnx.State, nnx.State]:
    """Reads a model onto this process's first device, whatever it was saved on.

    Args:
        path: As for `find_model`.

    Returns:
        The description, the parameters (`nnx.Param`) and the statistics (`nnx.BatchStat`).

    Raises:
        OSError: If there is no such folder, or it cannot be read.
        ValueError: If it holds no model, or one that is damaged.
    """
    description, network = read_network(path)
    return description, nnx.state(network, nnx.Param), nnx.state(network, nnx.BatchStat)


def read_network(
    path: str | os.PathLike[str], *, dtype: jnp.dtype | None = None
) -> tuple[ModelDescription, NASNet]:
    """Reads a model onto this process's first device, as a network in inference mode.

    Args:
        path: As for `find_model`.
        dtype: What the network computes in; by default the type of its parameters, float32.

    Raises:
        OSError: If there is no such folder, or it cannot be read.
        ValueError: If it holds no model, or one that is damaged.
    """
    description = read_description(path)
    folder = find_model(path) / WEIGHTS
    device = SingleDeviceSharding(find_devices(local=True)[0])
    network = description.abstract_network(dtype=dtype)
    graph, *states = nnx.split(network, nnx.Param, nnx.BatchStat)
    parameters, statistics = states
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
        {"parameters": nnx.to_pure_dict(parameters), "statistics": nnx.to_pure_dict(statistics)},
    )

    def restore() -> Any:
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(folder, shapes)

    try:
        weights = read_or_prove_damage(restore, folder, is_local=not is_remote(folder))
    except DamagedError as error:
        cause = error.__cause__
        reason = (str(cause) or type(cause).__name__).splitlines()[0]
        raise ValueError(
            f"The weights in {str(folder)!r} are damaged or belong to another network. If the "
            f"model was copied, copy its whole folder again. The reader says: {reason}"
        ) from cause
    nnx.replace_by_pure_dict(parameters, weights["parameters"])
    nnx.replace_by_pure_dict(statistics, weights["statistics"])
    return description, nnx.merge(graph, parameters, statistics)


def _replace(target: epath.Path, source: epath.Path) -> None:
    """Renames `source` to `target`; what was there is away for an instant and then deleted."""
    if not target.exists():
        source.rename(target)
        return
    old = target.parent / f".{target.name}.replaced"
    if old.exists():
        old.rmtree()
    target.rename(old)
    source.rename(target)
    old.rmtree()


def _selected(state: nnx.State, abstract: nnx.State) -> dict[str, Any]:
    """The arrays of a state that the described network has, as nested dictionaries."""
    wanted = flatten_dict(nnx.to_pure_dict(abstract))
    given = flatten_dict(nnx.to_pure_dict(state))
    for path, leaf in wanted.items():
        shape = given[path].shape if path in given else None
        if shape != leaf.shape:
            raise ValueError(
                "These are not the weights of the described network: "
                f"{'/'.join(map(str, path))} has the shape {shape}, not {leaf.shape}."
            )
    unknown = [path for path in given if path not in wanted and path[0] != _ONLY_IN_TRAINING]
    if unknown:
        raise ValueError(
            "These are not the weights of the described network, which has no "
            f"{'/'.join(map(str, unknown[0]))}."
        )
    return unflatten_dict({path: given[path] for path in wanted})
