"""What the formats have in common: what they need, where they are written, and what is refused."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from etils import epath

from nasnet_jax.files import open_path, write_files
from nasnet_jax.formats.hub import hub_files
from nasnet_jax.formats.onnx import onnx_files
from nasnet_jax.formats.pytorch import pytorch_files
from nasnet_jax.formats.stablehlo import stablehlo_files
from nasnet_jax.formats.tflite import tflite_files
from nasnet_jax.inference import Model, find_model, load
from nasnet_jax.run_files import SUMMARY_FILE


class Format(NamedTuple):
    """A form in which a network can be written.

    Attributes:
        files: From a model to what is written: by their names what a folder holds, or by what comes
            behind the output's name. The last one makes it complete.
        is_folder: Whether the output is a folder.
        folded: Whether batch normalization may be folded, since nothing is trained any further.
        fixed_size: Whether the artefact takes images of one size only.
        example: Python that runs `{output}` on images of `{height}` x `{width}` x `{channels}`.
        modules: What has to be installed to write it.
        extra: Of this package, which brings that.
    """

    files: Callable[[Model], dict[str, bytes]]
    is_folder: bool
    folded: bool
    fixed_size: bool
    example: str
    modules: tuple[str, ...] = ()
    extra: str = ""


_PYTORCH_EXAMPLE = """\
import sys, torch
sys.path.append({output!r})
import nasnet
nasnet.load({output!r})(torch.zeros(1, {channels}, {height}, {width}))"""

FORMATS: dict[str, Format] = {
    "stablehlo": Format(
        stablehlo_files,
        is_folder=False,
        folded=True,
        fixed_size=True,
        example="""\
import jax.export, numpy
network = jax.export.deserialize(bytearray(open({output!r}, 'rb').read()))
network.call(numpy.zeros((1, {height}, {width}, {channels}), 'uint8'))""",
    ),
    "pytorch": Format(
        pytorch_files, is_folder=True, folded=False, fixed_size=False, example=_PYTORCH_EXAMPLE
    ),
    "hub": Format(
        hub_files,
        is_folder=True,
        folded=False,
        fixed_size=False,
        example=_PYTORCH_EXAMPLE,
        modules=("matplotlib",),
        extra="all",
    ),
    "onnx": Format(
        onnx_files,
        is_folder=False,
        folded=False,  # PyTorch's exporter does that.
        fixed_size=True,
        example="""\
import numpy, onnxruntime
network = onnxruntime.InferenceSession({output!r})
network.run(None, {{'images': numpy.zeros((1, {channels}, {height}, {width}), 'uint8')}})""",
        modules=("torch", "onnx", "onnxscript"),
        extra="onnx",
    ),
    "tflite": Format(
        tflite_files,
        is_folder=False,
        folded=True,
        fixed_size=True,
        example="""\
import numpy
from ai_edge_litert.interpreter import Interpreter
network = Interpreter({output!r}).get_signature_runner()
network(images=numpy.zeros((1, {height}, {width}, {channels}), 'uint8'))""",
        modules=("tensorflow",),
        extra="all",
    ),
}


def check_format(name: str, image_size: tuple[int, int] | None) -> None:
    """Refuses what cannot be written, before anything is loaded.

    Raises:
        ValueError: If what the format needs is not installed, or a size is given for one that has none.
    """
    form = FORMATS[name]
    missing = [module for module in form.modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ValueError(
            f"--format={name} needs what is not installed ({', '.join(missing)}): "
            f"pip install 'nasnet_jax[{form.extra}]'."
        )
    if image_size is not None and not form.fixed_size:
        raise ValueError(
            f"--format={name} takes images of any size, so that none can be given: leave it out."
        )


def load_for(
    name: str,
    checkpoint: str | os.PathLike[str],
    *,
    fold: bool = True,
    features: bool = False,
    image_size: tuple[int, int] | None = None,
) -> Model:
    """Loads a model as a format writes it.

    Args:
        name: One of `FORMATS`.
        checkpoint: As for `nasnet_jax.load`.
        fold: Whether to fold batch normalization, in formats that allow it.
        features: Whether the outputs are what the classifier reads, instead of logits.
        image_size: Of the artefact's images, height and width, in formats that fix it; by default
            the network's own.

    Raises:
        OSError: As for `nasnet_jax.load`.
        ValueError: As for that and for `check_format`; if there is no classifier and no `features` are
            asked for; or if the network cannot take images of that size.
    """
    check_format(name, image_size)
    model = load(checkpoint, fold=fold and FORMATS[name].folded)
    network = model.network
    results = {"results": _results(checkpoint)}
    description = dataclasses.replace(model.description, config=model.description.config | results)
    if features:
        macro = dataclasses.replace(description.macro, num_classes=None)
        description = dataclasses.replace(description, macro=macro, class_names=None)
        network.head, network.macro = None, macro
    if description.macro.num_classes is None and not features:
        raise ValueError(
            f"The network in {os.fspath(checkpoint)!r} has no classifier. --features exports what one "
            "would read."
        )
    if image_size is not None:
        description = dataclasses.replace(
            description,
            macro=dataclasses.replace(description.macro, image_size=image_size),
            preprocessing=dataclasses.replace(description.preprocessing, image_size=image_size),
        )
    return Model(description, network)


def write_export(
    model: Model, output: str | os.PathLike[str], name: str = "stablehlo"
) -> list[epath.Path]:
    """Writes a model in a format.

    Args:
        model: What `load_for` gave for this format.
        output: A file or, for formats of several files, a folder; local or `gs://`.
        name: One of `FORMATS`.

    Returns:
        The files that were written.

    Raises:
        ValueError: If the output cannot be written, or holds something else; nothing is written then.
    """
    form, target = FORMATS[name], open_path(output)
    if form.is_folder and target.exists() and not target.is_dir():
        raise ValueError(f"{str(target)!r} is a file, but --format={name} makes a folder.")
    if not form.is_folder and target.is_dir():
        raise ValueError(f"{str(target)!r} is a folder, but --format={name} makes a file.")
    files = form.files(model)
    if form.is_folder:
        _refuse_others(target, set(files))
    paths = {
        target / part if form.is_folder else target.parent / f"{target.name}{part}": contents
        for part, contents in files.items()
    }
    try:
        write_files(paths)
    except OSError as error:
        raise ValueError(f"{str(target)!r} cannot be written: {error}") from error
    return list(paths)


def _results(checkpoint: str | os.PathLike[str]) -> dict[str, Any]:
    """What the training that made a model has measured; nothing for models that stand alone."""
    summary = find_model(checkpoint).parent / SUMMARY_FILE
    return json.loads(summary.read_text()) if summary.exists() else {}


def _refuse_others(folder: epath.Path, ours: set[str]) -> None:
    if not folder.exists():
        return
    others = sorted({child.name for child in folder.iterdir()} - ours)
    if others:
        raise ValueError(
            f"{str(folder)!r} holds something else ({others[0]}), and is left as it is. Choose another "
            "folder."
        )
