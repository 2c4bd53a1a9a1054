"""What is refused, what is written where, and what a network gives that is exported in part."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import jax.export
import numpy as np
import pytest
from flax import nnx
from fsspec.implementations.memory import MemoryFileSystem

import nasnet_jax
from nasnet_jax.formats import FORMATS, export_network, load_for, write_export
from nasnet_jax.formats.pytorch import state_dict
from nasnet_jax.inference import ModelDescription, save_model
from nasnet_jax.nn.nasnet import NASNet

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """What stands in for Google Cloud Storage: objects in memory, no folders and no renaming."""
    memory = MemoryFileSystem(skip_instance_cache=True)
    monkeypatch.setattr(memory, "store", {})
    monkeypatch.setattr("etils.epath.backend._FileSystemSpecBackend.fs", lambda *_: memory)
    monkeypatch.setattr("etils.epath.gpath._is_tf_installed", lambda: False)
    monkeypatch.setitem(sys.modules, "gcsfs", ModuleType("gcsfs"))
    sys.modules["gcsfs"].__spec__ = ModuleSpec("gcsfs", None)
    yield memory


@pytest.mark.parametrize("name", ["pytorch", "hub"])
def test_a_folder_with_something_else_is_left_as_it_is(
    name: str, tmp_path: Path, model_folder: Path
) -> None:
    model = load_for(name, model_folder)
    (tmp_path / "config.json").write_text("of a former export")
    write_export(model, tmp_path, name)
    before = names(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["class_names"][0] == "ant"
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds something else \(thesis\.tex\)"):
        write_export(model, tmp_path, name)
    assert names(tmp_path) == before | {"thesis.tex"}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, model_folder: Path) -> None:
    model = nasnet_jax.load(model_folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a folder"):
        write_export(model, tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        write_export(model, tmp_path / "file", "pytorch")
    with pytest.raises(ValueError, match="cannot be written"):
        write_export(model, tmp_path / "file" / "network", "pytorch")
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].modules])
def test_a_missing_converter_is_named_with_what_brings_it(
    name: str, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(ValueError, match=rf"pip install 'nasnet_jax\[{FORMATS[name].extra}\]'"):
        load_for(name, model_folder)


def test_sizes(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images of any size"):
        load_for("pytorch", model_folder, image_size=(9, 9))
    with pytest.raises(ValueError, match="too small for the 1 reduction"):
        load_for("stablehlo", model_folder, image_size=(1, 9))
    model = load_for("stablehlo", model_folder, image_size=(9, 11))
    file, notes = write_export(model, tmp_path / "network")
    assert json.loads(notes.read_text())["preprocessing"]["image_size"] == [9, 11]
    images = np.zeros((2, 9, 11, 3), np.uint8)
    logits = jax.export.deserialize(bytearray(file.read_bytes())).call(images)
    np.testing.assert_allclose(logits, model.predict(images).logits, rtol=1e-4, atol=1e-4)


def test_features_with_or_without_a_classifier(
    model_folder: Path,
    tmp_path: Path,
    description: ModelDescription,
    network: NASNet,
) -> None:
    macro = dataclasses.replace(description.macro, num_classes=None)
    headless = dataclasses.replace(description, macro=macro, class_names=None)
    parameters = nnx.to_pure_dict(nnx.state(network, nnx.Param))
    del parameters["head"]
    state = nnx.state(headless.abstract_network(), nnx.Param)
    nnx.replace_by_pure_dict(state, parameters)
    save_model(tmp_path / "headless", headless, state, nnx.state(network, nnx.BatchStat))
    with pytest.raises(ValueError, match="has no classifier. --features"):
        load_for("stablehlo", tmp_path / "headless")
    expected = nasnet_jax.load(model_folder).features(IMAGES)
    for folder in (model_folder, tmp_path / "headless"):
        model = load_for("stablehlo", folder, features=True)
        features = jax.export.deserialize(bytearray(export_network(model))).call(IMAGES)
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)
        assert not {"head.weight", "head.bias"} & set(
            state_dict(load_for("hub", folder, features=True))
        )


def test_addresses(bucket: MemoryFileSystem, model_folder: Path, tmp_path: Path) -> None:
    model = load_for("pytorch", model_folder)
    write_export(model, "gs://bucket/exported", "pytorch")
    write_export(model, tmp_path / "here", "pytorch")
    written = {path: file.getvalue() for path, file in bucket.store.items()}
    assert {path.rpartition("/")[2]: contents for path, contents in written.items()} == {
        path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()
    }
    assert all("bucket/exported/" in path for path in written)
    (folder,) = {path.rpartition("/")[0] for path in written}
    bucket.pipe_file(f"{folder}/thesis.tex", b"years of work")
    with pytest.raises(ValueError, match="something else"):
        write_export(model, "gs://bucket/exported", "pytorch")
    file, _ = write_export(load_for("stablehlo", model_folder), "gs://bucket/network.stablehlo")
    assert str(file) == "gs://bucket/network.stablehlo"
    assert not any("gs:" in path.name for path in Path().iterdir())
